"""How many connections a process takes, in total and from one address, and what that rests on."""

import logging
import resource
import time
from collections import Counter
from http import HTTPStatus

from ci_server.access.auth.addresses import NO_PROXIES, TrustedProxies
from ci_server.access.limits.address import is_this_machine, limited_as
from ci_server.connections.reserve import ConnectionRefusal, ConnectionReserve

logger = logging.getLogger(__name__)

_MOST_DESCRIPTORS = 65_536
"""More is never needed, and some programs we start look at each that is allowed."""

_RESERVED_SHARE = 4
_LOG_SECONDS = 10.0

_RESERVE_SHARE = 16
_RESERVE_SIZES = (4, 64)


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


class ConnectionGuard:
    """Counts the connections of one process.

    A quarter of the descriptors stays free for logs, uploads and the engine, so that however
    many clients come, accepting them never fails, and those that are there are served. A part
    of that quarter is the reserve, for those who come when all connections are taken.
    """

    def __init__(
        self,
        most: int,
        most_per_address: int,
        descriptors: int,
        proxies: TrustedProxies = NO_PROXIES,
    ) -> None:
        self._most = min(most, descriptors - descriptors // _RESERVED_SHARE)
        self._most_per_address = most_per_address
        self._proxies = proxies
        least, largest = _RESERVE_SIZES
        self.reserve = ConnectionReserve(max(least, min(largest, descriptors // _RESERVE_SHARE)))
        self._addresses: Counter[str] = Counter()
        self._total = 0
        self._log_at = 0.0

    def take(self, address: str | None) -> ConnectionRefusal | None:
        """Count a connection, or say why not. What was counted is given back with `release`.

        This machine's own, those of unix sockets and of trusted proxies are bounded in total only:
        a proxy brings everybody's. The others are counted as all limits of addresses count them.
        """
        refusal = self._refusal(address)
        if refusal is None:
            self._total += 1
            self._addresses[limited_as(address or "")] += 1
        elif time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_SECONDS
            logger.warning(
                "connection limit reached; new connections are answered with %d %s, except for "
                "/health and /ready (this one is from %s): %s",
                refusal.status,
                refusal.status.phrase,
                address,
                refusal.message,
            )
        return refusal

    def release(self, address: str | None) -> None:
        """The connection is gone."""
        self._total -= 1
        key = limited_as(address or "")
        self._addresses[key] -= 1
        if not self._addresses[key]:
            del self._addresses[key]

    def _refusal(self, address: str | None) -> ConnectionRefusal | None:
        if self._total >= self._most:
            return ConnectionRefusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the server has reached its limit of {self._most} connections; try again later",
            )
        if not self._is_bounded(address):
            return None
        if self._addresses.get(limited_as(address or ""), 0) >= self._most_per_address:
            return ConnectionRefusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"your address has reached its limit of {self._most_per_address} connections; "
                "close some",
            )
        return None

    def _is_bounded(self, address: str | None) -> bool:
        return not (is_this_machine(address or None) or self._proxies.trust(address))
