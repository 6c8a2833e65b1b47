"""Where queued jobs stand, asked once for all who watch a tenant's jobs."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ci_common.job import Job
from ci_common.ports.rows import JobSubmissions

_FRESH_SECONDS = 0.2
"""Places this old are told; whoever watches looks about as often."""

_MOST_OF_THE_TIME = 0.05
"""A long queue takes longer to read: it is read less often then, so that it costs no more."""


@dataclass(slots=True)
class _Queue:
    places: Mapping[str, int] = field(default_factory=dict)
    good_until: float = 0.0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class QueuePlaces:
    """Shares one look at a tenant's queue among all watchers of this process. Each tenant has a
    queue of its own here, too: nobody's place tells anything of another tenant's jobs.
    """

    def __init__(self, jobs: JobSubmissions, clock: Callable[[], float] | None = None) -> None:
        self._jobs = jobs
        self._clock = clock
        self._queues: dict[str, _Queue] = {}

    async def place(self, job: Job) -> int | None:
        """The place of a queued job, from 1, as it was a moment ago; `None` when it was not in
        the queue then.
        """
        queue = self._queues.setdefault(job.tenant, _Queue())
        if self._now() >= queue.good_until:
            async with queue.reading:
                if self._now() >= queue.good_until:
                    await self._read(job.tenant, queue)
        return queue.places.get(job.job_id)

    async def _read(self, tenant: str, queue: _Queue) -> None:
        began = self._now()
        queue.places = await self._jobs.queue_positions(tenant)
        took = self._now() - began
        queue.good_until = self._now() + max(_FRESH_SECONDS, took / _MOST_OF_THE_TIME)
        self._forget_old()

    def _forget_old(self) -> None:
        """Queues that nobody has asked for lately."""
        limit = self._now() - _FRESH_SECONDS
        for tenant, queue in list(self._queues.items()):
            if queue.good_until < limit and not queue.reading.locked():
                del self._queues[tenant]

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()
