"""Strict parsing of the `Host` header and of origins: what does not parse matches nothing."""

import ipaddress
import re

_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMED = re.compile(rf"(?P<host>{_LABEL}(?:\.{_LABEL})*)\.?{_PORT}", re.IGNORECASE)
_BRACKETED = re.compile(rf"\[(?P<host>[0-9a-f:.]{{2,45}})\]{_PORT}", re.IGNORECASE)
_MOST_PORT = 65535

_WEB_SCHEMES = ("http://", "https://")


def host_of(header: str) -> str | None:
    """The host of `host[:port]`, in lower case and without brackets or a last dot.

    `None` for everything else: an empty header, two of them, a user before an `@`, an escape, a
    space, an IPv6 address without brackets or with a zone, a port that is none.
    """
    match = _NAMED.fullmatch(header) or _BRACKETED.fullmatch(header)
    if match is None or int(match["port"] or 0) > _MOST_PORT:
        return None
    host = match["host"].lower()
    if header.startswith("["):
        return host if _is_ipv6(host) else None
    return host


def is_origin_of(origin: str, host_header: str) -> bool:
    """Whether this is the origin of our own pages, as a browser that sent `Host` names it."""
    scheme, separator, host = origin.lower().partition("://")
    return bool(host) and scheme + separator in _WEB_SCHEMES and host == host_header.lower()


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
