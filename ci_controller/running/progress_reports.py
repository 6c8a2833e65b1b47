"""Writes the newest progress of each running job as an event, at a bounded rate."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import datetime

from ci_common.job import Job
from ci_common.ports.rows import JobTransitions, ProgressReport
from ci_common.progress import Progress

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between two transactions. Each covers all jobs, so many busy jobs cost no more commits than one.
"""


class ProgressReports:
    """The progress of all jobs of a controller. A failed write is retried with the next one; it
    neither blocks nor fails a job.
    """

    def __init__(
        self,
        transitions: JobTransitions,
        now: Callable[[], datetime],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._transitions = transitions
        self._now = now
        self._pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._waiting: dict[str, ProgressReport] = {}
        """By job id: not written yet."""
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    def reporter(self, job: Job) -> Callable[[Progress], None]:
        """A function that accepts the job's progress: from any thread, without blocking. Writing
        happens on the current event loop.
        """
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            told = ProgressReport(job.job_id, job.attempt, progress)
            with self._lock:
                is_first = not self._waiting
                self._waiting[job.job_id] = told.following(self._waiting.get(job.job_id))
            if is_first:  # otherwise the writer has been woken
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._wake)

        return report

    async def flush(self, job_id: str) -> None:
        """Write the job's pending progress now; call before recording its end."""
        if job_id in self._waiting or self._writing.locked():
            await self._write({job_id})

    async def close(self) -> None:
        """Stop writing. The next follower of a job finds pending progress in its log."""
        self._closed = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._run(), name="progress")

    async def _run(self) -> None:
        while self._waiting:
            await self._write(set(self._waiting))
            await asyncio.sleep(self._pause_seconds)

    async def _write(self, job_ids: set[str]) -> None:
        async with self._writing:
            with self._lock:
                taken = {key: self._waiting.pop(key) for key in job_ids if key in self._waiting}
            if not taken:
                return
            try:
                await self._transitions.report_progress(list(taken.values()), self._now())
            except BaseException as error:
                self._put_back(taken)
                if not isinstance(error, Exception):
                    raise
                logger.warning(
                    "cannot write the progress of %d jobs, retrying: %s", len(taken), error
                )

    def _put_back(self, reports: dict[str, ProgressReport]) -> None:
        with self._lock:
            newer = {key: told.following(reports.get(key)) for key, told in self._waiting.items()}
            self._waiting = {**reports, **newer}
        if not self._closed:
            self._wake()  # whoever reports next takes the writer for woken
