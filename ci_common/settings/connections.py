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
    """How many, how slow, from whom."""

    send_timeout_seconds: float = Field(default=60, gt=0)
    """A watcher that takes no byte for so long is disconnected; it can resume."""
    request_timeout_seconds: float = Field(default=30, gt=0)
    """Time for a request's head; and over so long a body has to come at 1 KiB/s or more."""
    max_connections: int = Field(default=8192, ge=16)
    """Connections a server process takes at once (`python -m ci_server` only)."""
    max_connections_per_address: int = Field(default=512, ge=1)
    """Of those, connections of any one address but this machine's own."""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""
    """Addresses and networks of proxies whose word about addresses and users is taken."""
