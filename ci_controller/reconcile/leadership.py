"""Whether this process is the one that reconciles the database."""

import logging
from collections.abc import Callable
from datetime import datetime

from ci_common.errors import StorageUnavailableError
from ci_common.ports.rows import ControllerLease

logger = logging.getLogger(__name__)

LEASE_SECONDS = 8.0
"""Without a heartbeat for so long, another process takes over."""

_RENEW_SECONDS = 1.5
"""Between renewals: a tick that the doorbell asked for should not wait for the disk."""


class Leadership:
    """Takes the lease as `holder` when it is free, and renews it."""

    def __init__(
        self,
        lease: ControllerLease,
        holder: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """`clock` is monotonic, in seconds; `now` is the wall clock."""
        self._lease = lease
        self._holder = holder
        self._clock = clock
        self._now = now
        self.epoch: int | None = None
        """Of the lease; `None` while another process holds it."""
        self._renewed_at = 0.0

    async def renew(self) -> bool:
        """Take or renew the lease; whether the epoch is another one than before."""
        now = self._clock()
        if self.epoch is not None and now < self._renewed_at + _RENEW_SECONDS:
            return False  # if another took over meanwhile, it has fenced us off
        before = self.epoch
        self.epoch = await self._lease.acquire(self._holder, self._now(), LEASE_SECONDS)
        self._renewed_at = now  # not sooner: without a renewal nothing is done
        if self.epoch == before:
            return False
        if before is not None:
            logger.warning("another process took over; this one drops its work in progress")
        if self.epoch is not None:
            logger.info("controller lease acquired (epoch %d)", self.epoch)
        return True

    async def report_engine(self, error: str | None) -> None:
        """Publish why no job can be started, or that all is well (`None`)."""
        await self._lease.report_engine(error)

    async def release(self) -> None:
        """Let another process take over at once."""
        try:
            await self._lease.release(self._holder)
        except StorageUnavailableError as error:
            logger.debug("cannot release the lease, so it has to expire: %s", error)
