"""Who may collect artifacts now, and for how long."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from ci_controller.running.shares import collections_of_tenant


class CollectionSlots:
    """So many collections at once, and of each tenant about half as many: artifacts of one tenant
    that take minutes never make all others wait. First come, first served.
    """

    def __init__(self, total: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._per_tenant = collections_of_tenant(total)
        self._tenants: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        own = self._tenants.get(tenant)
        if own is None:
            own = self._tenants[tenant] = asyncio.Semaphore(self._per_tenant)
        # The tenant's first: who waits for that must not hold, or be in line for, the others'.
        async with own, self._all:
            yield


class CollectionTime:
    """Until when the artifacts of one job are waited for, and looked for."""

    def __init__(self) -> None:
        self._ends = math.inf
        self._timeout: asyncio.Timeout | None = None
        self.why = ""
        """What has run out, for people."""

    def shorten(self, seconds: float, why: str) -> None:
        """End in so many seconds, if not sooner; also what is under way."""
        ends = asyncio.get_running_loop().time() + seconds
        if ends >= self._ends:
            return
        self._ends, self.why = ends, why
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(ends)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Raise TimeoutError when the time has run out."""
        async with asyncio.timeout_at(None if self._ends == math.inf else self._ends) as timeout:
            self._timeout = timeout
            try:
                yield
            finally:
                self._timeout = None
