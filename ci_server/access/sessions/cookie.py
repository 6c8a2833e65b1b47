"""The server's cookies: names that say what a browser has to hold them to, and their attributes.

The name has the beginning of the instance's id, because browsers keep the cookies of all ports of a
host together. Over https it has a prefix (RFC 6265bis, 4.1.3), with which a browser takes it only
over https and, if it is of the whole host, only from this host, so that no other site can plant
one. Below a path, other hosts of the same domain can.
"""

from dataclasses import dataclass
from typing import Literal

from ci_server.access.auth.credentials import Credentials

_ID_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Cookie:
    """One of them, of one instance."""

    kind: str
    instance_id: str
    same_site: Literal["Strict", "Lax"]
    path: str = "/"
    """Below which browsers send it; ends with a slash."""

    @property
    def plain_name(self) -> str:
        """Without https."""
        return f"{self.kind}-{self.instance_id[:_ID_CHARACTERS]}"

    @property
    def secure_name(self) -> str:
        """With https. `__Host-` is for cookies of a whole host only."""
        return f"{'__Host-' if self.path == '/' else '__Secure-'}{self.plain_name}"

    def value(self, credentials: Credentials) -> str | None:
        """What the request holds. One without the prefix, which others may have planted, counts
        only where the client is not known to speak https.
        """
        found = _parsed(credentials.headers.get("cookie", ""))
        names = [self.secure_name, *([] if credentials.is_secure else [self.plain_name])]
        return next((found[name] for name in names if found.get(name)), None)

    def setting(self, value: str, seconds: int, *, secure: bool) -> str:
        """The header `Set-Cookie`."""
        name = self.secure_name if secure else self.plain_name
        header = f"{name}={value}; Path={self.path}; Max-Age={seconds}; HttpOnly; SameSite="
        return f"{header}{self.same_site}{'; Secure' if secure else ''}"

    def removal(self, *, secure: bool) -> str:
        """The header `Set-Cookie` that makes a browser forget it."""
        return self.setting("", 0, secure=secure)


def _parsed(header: str) -> dict[str, str]:
    """By name. Of several with one name the first counts, which has the longest path."""
    found: dict[str, str] = {}
    for part in header.split(";"):
        name, separator, value = part.strip().partition("=")
        if separator:
            found.setdefault(name, value)
    return found
