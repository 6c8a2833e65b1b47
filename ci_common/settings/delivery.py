"""Settings of webhooks and e-mail."""

import ipaddress
import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ci_common.notify_targets import NotifyPolicy, mail_target
from ci_common.settings.environment import EnvironmentSettings
from ci_common.smtp_server import SmtpServer
from ci_common.webhook_addresses import WebhookAddresses

_HOST_PATTERN = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:.]+")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip().lower()))


def _networks(value: str) -> str:
    for word in _words(value):
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValueError(
                f"must be a comma-separated list of networks such as 10.1.0.0/16: {error}"
            ) from None
    return value


def _hosts(value: str) -> str:
    for word in _words(value):
        if not _HOST_PATTERN.fullmatch(word):
            raise ValueError(
                f"must be a comma-separated list of hosts: {word!r} is not *, example.com or "
                "*.example.com"
            )
    return value


def _mail(value: str) -> str:
    for word in _words(value):
        try:
            mail_target(word if "@" in word else f"any@{word}")
        except ValueError:
            raise ValueError(
                f"must be a comma-separated list of addresses and domains: {word!r} is not "
                "ann@example.com or example.com"
            ) from None
    return value


def _smtp_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        SmtpServer.parse(value.get_secret_value())
    return value


def _from(value: str | None) -> str | None:
    if value is not None:
        mail_target(value)
    return value


class DeliverySettings(EnvironmentSettings):
    """Where notifications may go, and how they get there."""

    notifications: bool = True
    """Whether notifications are sent; if not, what jobs ask for is ignored."""
    webhook_networks: Annotated[str, AfterValidator(_networks)] = ""
    """Networks that are not public and that webhooks may reach, also by http, separated by commas.
    """
    notify_hosts: Annotated[str, AfterValidator(_hosts)] = "*"
    """Hosts that jobs may send webhooks to, separated by commas; `*.example.com` is any below, `*`
    any that is public."""
    notify_mail: Annotated[str, AfterValidator(_mail)] = ""
    """Addresses, and domains, that jobs may send e-mail to, separated by commas."""
    smtp_url: Annotated[SecretStr | None, AfterValidator(_smtp_url)] = None
    """The server that e-mail is sent by: smtps://user:password@host, starttls://, or smtp://."""
    smtp_from: Annotated[str | None, AfterValidator(_from)] = None
    """The address that e-mail is sent from."""
    delivery_days: float = Field(default=7.0, gt=0, le=365)
    """Days for which messages that were delivered, or given up, are shown."""

    @property
    def webhook_addresses(self) -> WebhookAddresses:
        """Which addresses webhooks may be sent to."""
        return WebhookAddresses(tuple(map(ipaddress.ip_network, _words(self.webhook_networks))))

    @property
    def notify_policy(self) -> NotifyPolicy | None:
        """Where jobs may send notifications; `None`: what they ask for is ignored."""
        if not self.notifications:
            return None
        return NotifyPolicy(
            _words(self.notify_hosts),
            _words(self.notify_mail),
            self.smtp_url is not None,
            self.webhook_addresses,
        )

    @property
    def smtp_server(self) -> SmtpServer | None:
        """That of `smtp_url`."""
        return SmtpServer.parse(self.smtp_url.get_secret_value()) if self.smtp_url else None

    @model_validator(mode="after")
    def _has_sender(self) -> Self:
        if self.smtp_url is not None and self.smtp_from is None:
            raise ValueError("CI_SMTP_FROM: must be set if CI_SMTP_URL is")
        return self
