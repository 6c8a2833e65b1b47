"""Where a request comes from: the peer of the socket, and the client behind trusted proxies."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope, Send

from ci_common.addresses import Address, parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"
"""In the list of trusted proxies: whoever may open our unix socket."""

UNKNOWN = "unknown"
"""The peer of a socket that cannot be seen; nobody trusts it, and it is not this machine."""

_PEER = "ci_runner.socket_peer"
_MOST_HOPS = 32
_FORWARDING = ("forwarded", "x-forwarded-for", "x-real-ip")


_PROXY_HEADERS = frozenset((*_FORWARDING, "via"))
_PROXY_PREFIX = "x-forwarded-"


def came_through_proxy(headers: Mapping[str, str]) -> bool:
    """Whether any header, in lower case, is one that proxies add."""
    return any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX) for name in headers)


def was_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says for whom it passed the request on."""
    return any(name in headers for name in _FORWARDING)


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies whose `X-Forwarded-For`, and word about users, is taken."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """From addresses and networks, comma-separated, and the word `unix`. ValueError."""
        entries = [entry for entry in map(str.strip, text.split(",")) if entry]
        networks = (ipaddress.ip_network(entry) for entry in entries if entry != UNIX)
        return cls(tuple(networks), UNIX in entries)

    def __bool__(self) -> bool:
        return bool(self.networks) or self.unix

    def trust(self, peer: str | None) -> bool:
        """Whether the peer of a socket, `None` for a unix socket, is one of them."""
        if peer is None:
            return self.unix
        address = parse_address(peer)
        return address is not None and self._hold(address)

    def client(self, peer: str | None, headers: Mapping[str, str]) -> str | None:
        """The address of the client: the last hop that is not one of these proxies.

        `X-Forwarded-For` is read from its right end, where our own proxies wrote; what a client
        put at the left of it is never reached. An entry that is no address ends the reading.
        """
        if not self.trust(peer):
            return peer
        client = peer
        hops = headers.get("x-forwarded-for", "").split(",")[-_MOST_HOPS:]
        for hop in reversed(hops):
            address = parse_address(_without_port(hop.strip()))
            if address is None:
                return client
            client = str(address)
            if not self._hold(address):
                return client
        return client

    def is_secure(self, scheme: str, peer: str | None, headers: Mapping[str, str]) -> bool:
        """Whether the client speaks https: to us, or to the proxy that passed its request on."""
        if not self.trust(peer) or "x-forwarded-proto" not in headers:
            return scheme == "https"
        # As with addresses, what our own proxy wrote is at the right end.
        return headers["x-forwarded-proto"].rpartition(",")[2].strip().lower() == "https"

    def _hold(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


NO_PROXIES = TrustedProxies()


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def remember_peer(scope: Scope, send: Send) -> None:
    """Note the peer of the socket, before anybody wraps `send`.

    `scope["client"]` is not it: by default uvicorn replaces it by what `X-Forwarded-For` says
    when the peer is 127.0.0.1. ASGI has no other word for it; both of uvicorn's protocols send
    by a method of an object that holds the connection.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        return
    name = transport.get_extra_info("peername")
    if isinstance(name, list | tuple) and name:
        scope[_PEER] = str(name[0])
    else:
        family = getattr(transport.get_extra_info("socket"), "family", None)
        scope[_PEER] = None if family == socket.AF_UNIX else UNKNOWN


def peer_of(scope: Scope, headers: Mapping[str, str]) -> str | None:
    """The peer of the socket; `None` for a unix socket, `UNKNOWN` when that cannot be told."""
    if _PEER in scope:
        peer: str | None = scope[_PEER]
        return peer
    if was_forwarded(headers):
        return UNKNOWN
    client = scope.get("client")
    return client[0] if client else None
