"""Addresses as limits see them."""

import ipaddress

_NETWORK_BITS = 64


def limited_as(address: str) -> str:
    """What an address counts as: IPv6 by its /64, because a host has all of those."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))
