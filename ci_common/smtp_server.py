"""The SMTP server that e-mail is sent by, as one URL names it."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from ci_common.addresses import is_loopback


class Encryption(StrEnum):
    """How a connection is encrypted; the scheme of the URL."""

    NONE = "smtp"
    """Not at all."""
    STARTTLS = "starttls"
    """From the command STARTTLS on, which the server must know."""
    TLS = "smtps"
    """From the beginning."""


_PORTS = {Encryption.NONE: 25, Encryption.STARTTLS: 587, Encryption.TLS: 465}
_FORM = "must be such as smtps://user:password@mail.example.com, starttls://... or smtp://..."


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where it is, and who we are there."""

    host: str
    port: int
    encryption: Encryption
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read a URL. Raises ValueError, with a message for people that does not repeat it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            encryption = Encryption(parts.scheme)
        except ValueError:
            raise ValueError(_FORM) from None
        if not host or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(_FORM)
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        if (user is None) != (password is None):
            raise ValueError("must have both a user and a password, or neither")
        if password is not None and encryption is Encryption.NONE and not is_loopback(host):
            raise ValueError(
                "must not send a password unencrypted to another machine: use starttls:// or "
                "smtps://"
            )
        return cls(host, port or _PORTS[encryption], encryption, user, password)
