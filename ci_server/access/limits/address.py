"""Addresses as limits see them."""

import ipaddress
from functools import lru_cache

from ci_common.addresses import is_loopback, parse_address
from ci_server.access.auth.credentials import Credentials

_NETWORK_BITS = 64
_REMEMBERED = 10_000


def address_of(credentials: Credentials) -> str | None:
    """The one address that all limits go by."""
    return credentials.client


@lru_cache(_REMEMBERED)
def is_this_machine(address: str | None) -> bool:
    """Whether it is a loopback address, or that of a unix socket (`None`)."""
    return address is None or is_loopback(address)


@lru_cache(_REMEMBERED)
def limited_as(address: str) -> str:
    """What an address counts as: IPv6 by its /64, because a host has all of those."""
    parsed = parse_address(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))
