"""Places for work that takes long, of which one tenant never gets all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from ci_common.shares import share_of_tenant


class TenantSlots:
    """So many at once, and of each tenant about half as many: what takes minutes for one tenant
    never makes all others wait. First come, first served.
    """

    def __init__(self, total: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._per_tenant = share_of_tenant(total)
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
