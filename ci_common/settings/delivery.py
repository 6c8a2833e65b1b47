"""Settings of webhooks and e-mail."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ci_common.addresses import Network
from ci_common.notify_targets import NotifyPolicy
from ci_common.settings.environment import EnvironmentSettings

_HOST_PATTERN = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:.]+")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip().lower()))


def _networks(value: str) -> str:
    for word in _words(value):
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValueError(
                f"must list networks such as 10.1.0.0/16, by commas: {error}"
            ) from None
    return value


def _hosts(value: str) -> str:
    for word in _words(value):
        if not _HOST_PATTERN.fullmatch(word):
            raise ValueError(
                f"must list hosts, by commas: {word!r} is not *, example.com or *.example.com"
            )
    return value


class DeliverySettings(EnvironmentSettings):
    """Where notifications may go, and how they get there."""

    notifications: bool = True
    """Whether notifications are sent; if not, what jobs ask for is ignored."""
    webhook_networks: Annotated[str, AfterValidator(_networks)] = ""
    """Networks that are not public and that webhooks may reach, also by http, separated by commas.
    """
    notify_hosts: Annotated[str, AfterValidator(_hosts)] = "*"
    """Hosts that jobs may send webhooks to, separated by commas; `*.example.com` is any below."""
    delivery_days: float = Field(default=7.0, gt=0, le=365)
    """Days for which messages that were delivered, or given up, are shown."""

    @property
    def private_networks(self) -> tuple[Network, ...]:
        """Those of `webhook_networks`."""
        return tuple(ipaddress.ip_network(word) for word in _words(self.webhook_networks))

    @property
    def notify_policy(self) -> NotifyPolicy | None:
        """Where jobs may send notifications; `None`: what they ask for is ignored."""
        if not self.notifications:
            return None
        return NotifyPolicy(hosts=_words(self.notify_hosts))
