"""Where notifications go: URLs of webhooks and e-mail addresses, as people write them.

The client reads this, too, so it needs nothing but the standard library.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from ci_common.webhook_addresses import WebhookAddresses

MAILTO = "mailto:"
LONGEST_TARGET = 1000
MOST_TARGETS = 5
"""Of one job."""

_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(
    r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\.?"
)
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LONGEST_LOCAL_PART = 64
_WELL_KNOWN_PORTS = (80, 443)
_FIRST_OTHER_PORT = 1024


class Channel(StrEnum):
    """How a notification is sent."""

    WEBHOOK = "webhook"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class NotifyTarget:
    """Where a notification goes."""

    channel: Channel
    address: str
    """A URL, or an e-mail address."""
    host: str
    """In lower case; of an e-mail address its domain."""


def read_target(text: str) -> NotifyTarget:
    """A URL, or `mailto:` and an e-mail address. Raises ValueError, with a message for people that
    does not repeat the text: a URL may be a secret.
    """
    if text[: len(MAILTO)].lower() == MAILTO:
        return mail_target(text[len(MAILTO) :])
    return webhook_target(text)


def webhook_target(url: str) -> NotifyTarget:
    """The target of a URL. Raises ValueError, as `read_target` does."""
    if not _PRINTABLE.fullmatch(url) or len(url) > LONGEST_TARGET or "\\" in url:
        raise ValueError(
            f"must be a URL of at most {LONGEST_TARGET} ASCII characters without spaces and \\, "
            "such as https://example.com/hook"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("must be a valid URL, such as https://example.com/hook") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("must begin with https:// (or http://, inside an allowed network)")
    if "@" in parts.netloc:
        raise ValueError("must not have a user or password; a secret can be part of the path")
    if "#" in url:
        raise ValueError("must not have a fragment (#...)")
    if not (_is_ipv6(host) if "[" in parts.netloc else _HOST.fullmatch(host)):
        raise ValueError("must have a valid host; write an internationalized name as xn--...")
    if port is not None and not (port in _WELL_KNOWN_PORTS or port >= _FIRST_OTHER_PORT):
        raise ValueError("must have the port 80, 443, or one of at least 1024")
    return NotifyTarget(Channel.WEBHOOK, url, host.lower().rstrip("."))


def _is_ipv6(host: str) -> bool:
    try:
        return not ipaddress.IPv6Address(host).scope_id
    except ValueError:
        return False


def mail_target(address: str) -> NotifyTarget:
    """The target of an e-mail address. Raises ValueError, as `read_target` does."""
    local, at, domain = address.rpartition("@")
    if not (
        at
        and len(local) <= _LONGEST_LOCAL_PART
        and _LOCAL_PART.fullmatch(local)
        and _HOST.fullmatch(domain)
    ):
        raise ValueError("must be one e-mail address, such as ann@example.com")
    return NotifyTarget(Channel.MAIL, address, domain.lower().rstrip("."))


def targets_problem(targets: Sequence[str]) -> str | None:
    """What is wrong with the targets of a job, in words."""
    if len(targets) > MOST_TARGETS:
        return f"there are {len(targets)} targets; a job can have at most {MOST_TARGETS}"
    for number, text in enumerate(targets, 1):
        try:
            read_target(text)
        except ValueError as error:
            where = f"number {number} " if len(targets) > 1 else ""
            return f"{where}{error}; for e-mail: mailto:ann@example.com"
    return None


@dataclass(frozen=True, slots=True)
class NotifyPolicy:
    """Where jobs may send notifications, as the operator says."""

    hosts: tuple[str, ...] = ()
    """Hosts of webhooks in lower case; `*` is any, `*.example.com` any below that domain."""
    mail: tuple[str, ...] = ()
    """E-mail addresses in lower case, and domains."""
    sends_mail: bool = False
    addresses: WebhookAddresses = field(default_factory=WebhookAddresses)

    def refusal(self, target: NotifyTarget) -> str | None:
        """Why a job may not send there, in words."""
        if target.channel is Channel.MAIL:
            if not self.sends_mail:
                return "this server sends no e-mail (CI_SMTP_URL is not set)"
            if target.address.lower() in self.mail or target.host in self.mail:
                return None
            return (
                f"this server sends no e-mail for jobs to {target.address}; the operator lists "
                "allowed addresses and domains in CI_NOTIFY_MAIL"
            )
        if not any(_fits(target.host, pattern) for pattern in self.hosts):
            return (
                f"this server sends no webhooks for jobs to {target.host}; the operator lists "
                "allowed hosts in CI_NOTIFY_HOSTS"
            )
        encrypted, named = urlsplit(target.address).scheme == "https", self.names(target)
        if not encrypted and not named:
            return (
                f"this server sends webhooks for jobs to {target.host} by https only; http is for "
                "hosts inside, which the operator names in CI_NOTIFY_HOSTS"
            )
        return self.addresses.refusal(target.host, encrypted=encrypted, only_public=not named)

    def names(self, target: NotifyTarget) -> bool:
        """Whether the operator has listed the host itself, and not only any."""
        named = (pattern for pattern in self.hosts if pattern != "*")
        return any(_fits(target.host, pattern) for pattern in named)

    def problem(self, targets: Sequence[str]) -> str | None:
        """The first reason why a job may not have these valid targets, in words."""
        refusals = (self.refusal(read_target(text)) for text in targets)
        return next((refusal for refusal in refusals if refusal), None)


def _fits(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern in ("*", host)
