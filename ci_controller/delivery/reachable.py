"""Where a webhook's host is. Names are resolved here, and connections go to the address that was
checked, so that a name cannot mean another one later.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ci_common.addresses import Address, Network
from ci_common.webhook_addresses import WebhookAddresses

_THREADS = 64
"""Of their own: a name server that does not answer must not take the threads of the log store.
Twice as many as messages under way: a look-up goes on after its message's time is over, and the
names of one tenant must not keep those of others waiting.
"""


class NameNotFoundError(Exception):
    """The host cannot be resolved now; the text is for people."""


class Reachable:
    """What webhooks may reach: the public Internet by https, and what `networks` allow."""

    def __init__(
        self, networks: Sequence[Network], look_up: Callable[..., Any] = socket.getaddrinfo
    ) -> None:
        self._addresses = WebhookAddresses(tuple(networks))
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
        return self._addresses.allowed(host, found, encrypted=encrypted, only_public=only_public)

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
