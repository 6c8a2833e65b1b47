"""Why jobs wait, asked once for all who watch."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from ci_common.job import Job, JobStatus, utc_now
from ci_common.ports.rows import JobSubmissions, ServerLoad
from ci_common.waiting import JobSlots, Waiting, why_it_waits

_FRESH_SECONDS = 1.0
"""A load this old is told."""

_WAITING = (JobStatus.QUEUED, JobStatus.INITIALIZING)


class WaitReasons:
    """Shares one look at the server's load among all watchers of this process, whichever jobs they
    watch: it costs two short queries in a second, and none without watchers of jobs that wait.
    """

    def __init__(
        self,
        jobs: JobSubmissions,
        slots: JobSlots,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._now = now
        self._load: ServerLoad | None = None
        self._good_until = float("-inf")
        self._reading = asyncio.Lock()

    async def of(self, job: Job, position: int | None) -> Waiting | None:
        """What a job waits for, at this position in its queue; `None` when it does not wait."""
        if job.status not in _WAITING:
            return None
        load = await self._fresh_load()
        return why_it_waits(job, position, load, self._slots, self._now())

    async def _fresh_load(self) -> ServerLoad:
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if self._load is None or clock() >= self._good_until:
                self._load = await self._jobs.server_load()
                self._good_until = clock() + _FRESH_SECONDS
            return self._load
