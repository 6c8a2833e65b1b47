"""Which network addresses are this machine's own."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is this machine's own."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
