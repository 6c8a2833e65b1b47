"""Bounds of the server's connections, and the proxies they may come through."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from ci_common.settings.environment import EnvironmentSettings


def _networks(value: str) -> str:
    """Addresses and networks, comma-separated, and the word `unix`."""
    for entry in filter(None, map(str.strip, value.split(","))):
        try:
            if entry != "unix":
                ipaddress.ip_network(entry)
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is neither an address nor a network ({error}); "
                "write for example 10.0.0.7, 10.1.0.0/16"
            ) from None
    return value


class ConnectionSettings(EnvironmentSettings):
    """Limits of connections, timeouts, and trusted proxies."""

    send_timeout_seconds: float = Field(default=60, gt=0)
    """A watcher that reads nothing for this long is disconnected; it can resume."""
    request_timeout_seconds: float = Field(default=30, gt=0)
    """Timeout for a request's headers; a body must average 1 KiB/s over any such period."""
    max_connections: int = Field(default=8192, ge=16)
    """Maximum number of connections of a server process (`python -m ci_server` only)."""
    max_connections_per_address: int = Field(default=512, ge=1)
    """The same per address, except for this machine."""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""
    """Addresses and networks of proxies whose headers about clients and users are trusted."""
