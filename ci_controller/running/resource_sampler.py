"""Samples what running jobs use: beside the controller's ticks, which never wait for it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from ci_common.errors import RunnerError
from ci_common.ports.details import ResourceStore
from ci_common.ports.workloads import Executor
from ci_common.resources import ResourceSeries

logger = logging.getLogger(__name__)

SAVE_SECONDS = 10.0
"""Between two transactions, each of which covers all jobs; a controller that dies loses what it
took since. A job's end is recorded with all of its samples."""

_SAMPLE_SECONDS = 5.0
"""For one sample, of an engine that is busy."""

_AT_ONCE = 4


class ResourceSampler:
    """The samples of one controller's jobs. Nothing that goes wrong here concerns a job."""

    def __init__(
        self,
        executor: Executor,
        store: ResourceStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = executor
        self._store = store
        self._clock = clock
        self._series: dict[str, ResourceSeries] = {}
        self._unsaved: set[str] = set()
        self._saved_at: float | None = None
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def sample(self, running: Mapping[str, tuple[int, float]]) -> None:
        """Take what is due, and save what is. `running` is by the id of the job: its attempt, and
        for how many seconds its command has run. Others are forgotten.
        """
        for job_id in self._series.keys() - running.keys():
            self.taken(job_id)
        await asyncio.gather(*(self._sample(job_id, *facts) for job_id, facts in running.items()))
        await self._save()

    def taken(self, job_id: str) -> ResourceSeries | None:
        """The samples of a job that ends, to be recorded with its end."""
        self._unsaved.discard(job_id)
        series = self._series.pop(job_id, None)
        return series.ended() if series and series.samples else None

    async def _sample(self, job_id: str, attempt: int, seconds: float) -> None:
        try:
            series = await self._series_of(job_id, attempt)
            if not series.is_due(seconds):
                return
            async with self._at_once, asyncio.timeout(_SAMPLE_SECONDS):
                usage = await self._executor.usage(job_id)
        except (RunnerError, OSError, TimeoutError) as error:
            logger.debug("job %s: no sample of its CPU and memory: %s", job_id, error)
            return
        # Only if it has not ended meanwhile, when nobody asks for it any more.
        if usage is not None and self._series.get(job_id) is series:
            more = self._series[job_id] = series.with_usage(seconds, usage)
            if more != series:
                self._unsaved.add(job_id)

    async def _series_of(self, job_id: str, attempt: int) -> ResourceSeries:
        """What an earlier controller saved goes on; what an earlier attempt used does not."""
        known = self._series.get(job_id) or await self._store.load(job_id)
        if known is None or known.attempt != attempt:
            known = ResourceSeries(attempt)
        self._series[job_id] = known
        return known

    async def _save(self) -> None:
        now = self._clock()
        if not self._unsaved or (
            self._saved_at is not None and now - self._saved_at < SAVE_SECONDS
        ):
            return
        saving = {job_id: self._series[job_id] for job_id in self._unsaved}
        self._saved_at = now
        try:
            await self._store.save(saving)
        except (RunnerError, OSError) as error:
            logger.debug("cannot save what %d jobs use: %s", len(saving), error)
            return
        self._unsaved -= {
            job_id for job_id, series in saving.items() if self._series.get(job_id) == series
        }
