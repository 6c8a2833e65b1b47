"""Which addresses webhooks may be sent to. Names are resolved here, and connections go to the
address that was checked, so that a name cannot mean another one later.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ci_common.addresses import Address, Network

_THREADS = 64
"""Of their own: a name server that does not answer must not take the threads of the log store.
Twice as many as messages under way: a look-up goes on after its message's time is over, and the
names of one tenant must not keep those of others waiting.
"""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    )
)
"""In addition to what Python knows, whose list depends on its version."""


class NotReachableError(Exception):
    """A webhook may not be sent to this host; the text is for people."""


class NameNotFoundError(Exception):
    """The host cannot be resolved now; the text is for people."""


def behind(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it is of such a kind."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet, and not of a network of somebody's own."""
    address = behind(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    is_odd = address.is_multicast or address.is_reserved or not address.is_global
    return not is_odd and not any(address in network for network in _NOT_PUBLIC)


class Reachable:
    """What webhooks may reach: the public Internet by https, and what `networks` allow."""

    def __init__(
        self, networks: Sequence[Network], look_up: Callable[..., Any] = socket.getaddrinfo
    ) -> None:
        self._networks = networks
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(_THREADS, "webhook-names")

    async def addresses(
        self, host: str, port: int, *, encrypted: bool, only_public: bool = False
    ) -> list[Address]:
        """Those of the host that may be connected to; with `only_public`, whatever is allowed
        besides.

        Raises NotReachableError when there is none, NameNotFoundError when the host is unknown.
        """
        found = await self._resolve(host, port)
        inside = [] if only_public else [one for one in found if self._is_inside(one)]
        allowed = [one for one in found if one in inside or (encrypted and is_public(one))]
        if not allowed and any(map(self._is_inside, found)):
            raise NotReachableError(
                f"{host} is in one of CI_WEBHOOK_NETWORKS, where jobs may call only hosts that the "
                "operator names in CI_NOTIFY_HOSTS; `*` does not name it"
            )
        if not allowed:
            raise NotReachableError(self._refusal(host, found))
        return allowed

    def _is_inside(self, address: Address) -> bool:
        return any(behind(address) in network for network in self._networks)

    def _refusal(self, host: str, found: Sequence[Address]) -> str:
        if any(map(is_public, found)):
            return f"{host} is a public host, and http is not encrypted: use https"
        return (
            f"{host} is not a public host; if it may be called, the operator adds its network to "
            "CI_WEBHOOK_NETWORKS"
        )

    async def _resolve(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: self._look_up(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise NameNotFoundError(f"{host} cannot be resolved: {reason}") from error
        texts = dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found)
        return [ipaddress.ip_address(text) for text in texts]
