"""Copies what jobs leave behind to the store: a few jobs at once, each for a bounded time."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ci_common.artifact_paths import ArtifactGlob, roots
from ci_common.completion import to_completion
from ci_common.errors import EngineFailingError, FilesUnreadableError
from ci_common.job import LEFT_OUT, Job
from ci_common.ports.artifacts import ArtifactBatch, ArtifactWriter
from ci_common.ports.workloads import Executor, Workload
from ci_common.tenant_slots import TenantSlots
from ci_controller.executors.shared.job_environment import MORE_REPORTS, REPORT, further_report
from ci_controller.running.collection import Collected, Collection
from ci_controller.running.collection_time import CollectionTime
from ci_controller.running.coverage_reports import COVERAGE_FILES

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """What a job may leave behind; more is left out, and said."""

    max_bytes: int
    """Of all its artifacts."""
    max_files: int
    max_seconds: float = 600.0
    """For all of it. A file without content can be as long as a disk, and to skip it is to read
    it.
    """
    max_collections: int = 4
    """Of jobs, at once."""
    cancelled_seconds: float = 30.0
    """For the artifacts of a job that was cancelled, from then on."""


class ArtifactCollector:
    """Copies artifacts from exited workloads to the store."""

    def __init__(self, executor: Executor, store: ArtifactWriter, limits: ArtifactLimits) -> None:
        self._executor = executor
        self._store = store
        self._limits = limits
        self._slots = TenantSlots(limits.max_collections)
        self._times: dict[str, CollectionTime] = {}
        # Of its own, because a collection may take minutes: nothing else must wait for a thread.
        self._threads = ThreadPoolExecutor(limits.max_collections, thread_name_prefix="artifacts")

    async def collect(self, job: Job, workload: Workload, last_try: bool = False) -> Collected:
        """What the job left, the artifacts durably stored; nothing of it when this raises.

        Safe to repeat: what was stored before is replaced. At the `last_try` files at which the
        engine fails are left out. Raises EngineUnavailableError, WorkloadLostError,
        LeaseLostError, and OSError when the disk is full.
        """
        time = self._times[job.job_id] = CollectionTime()
        if job.cancel_requested_at is not None:
            self.hurry(job.job_id)
        try:
            async with contextlib.AsyncExitStack() as held:
                try:
                    async with time.limit():
                        await held.enter_async_context(self._slots.slot(job.tenant))
                except TimeoutError:
                    return Collected(
                        left_out=f"{LEFT_OUT}all of them: collecting could not begin {time.why}"
                    )
                seconds = self._limits.max_seconds
                time.shorten(seconds, f"within {seconds:g} s")
                return await self._collect(job, workload, time, last_try)
        finally:
            del self._times[job.job_id]

    def hurry(self, job_id: str) -> None:
        """The job was cancelled: whoever did that does not wait long for its artifacts."""
        if (time := self._times.get(job_id)) is not None:
            seconds = self._limits.cancelled_seconds
            time.shorten(seconds, f"within {seconds:g} s of the job's cancellation")

    async def _collect(
        self, job: Job, workload: Workload, time: CollectionTime, last_try: bool
    ) -> Collected:
        batch = await self._on_thread(lambda: self._store.begin(job.job_id))
        try:
            collection = await self._fill(batch, job, workload, time, last_try)
            await self._on_thread(batch.commit)
        except BaseException:
            await self._on_thread(batch.discard)
            raise
        return collection.result()

    async def _fill(
        self,
        batch: ArtifactBatch,
        job: Job,
        workload: Workload,
        time: CollectionTime,
        last_try: bool,
    ) -> Collection:
        globs, limits = _globs(job), self._limits
        places = roots([*globs, *map(ArtifactGlob, COVERAGE_FILES)])
        globs.append(ArtifactGlob(MORE_REPORTS))
        collection = Collection(
            globs, batch, limits.max_files, limits.max_bytes, workload.started_at
        )
        try:
            async with time.limit():
                for root in places:
                    if not collection.is_over:
                        await self._take(job.job_id, root, collection, last_try)
                if REPORT in places:
                    await self._take_further_reports(job.job_id, collection, last_try)
                if collection.lacks_report:
                    await self._take(job.job_id, REPORT, collection, last_try)
        except TimeoutError:
            collection.unreadable.append(f"files that were not reached {time.why}")
        return collection

    async def _take_further_reports(
        self, job_id: str, collection: Collection, last_try: bool
    ) -> None:
        """Those of a job that does not want the directory they are in: one by one."""
        number = 2
        while not collection.is_over and collection.has_report:
            if not await self._take(job_id, further_report(number), collection, last_try):
                return
            number += 1

    async def _take(self, job_id: str, root: str, collection: Collection, last_try: bool) -> bool:
        """Whether there was anything at this path."""
        take = collection.take_report if collection.lacks_report else collection.take_all
        try:
            files = await self._executor.files(job_id, root)
            if files is None:
                return False
            try:
                await self._on_thread(lambda: take(files), files.close)
            finally:
                files.close()
        except (FilesUnreadableError, EngineFailingError) as error:
            if isinstance(error, EngineFailingError) and not last_try:
                raise
            # Not worth the job's result, and to try again would not help.
            collection.unreadable.append(f"{root!r} is incomplete: {error.message}")
            return False
        return True

    async def _on_thread(
        self, work: Callable[[], Result], interrupt: Callable[[], None] | None = None
    ) -> Result:
        """Run on one of our threads, to completion, so that cleaning up comes after it."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        return await to_completion(future, interrupt=interrupt)


def _globs(job: Job) -> list[ArtifactGlob]:
    """What to keep. The report that pytest was asked for is always wanted."""
    globs = [ArtifactGlob(REPORT)]
    for text in job.spec.artifacts:
        with contextlib.suppress(ValueError):  # refused at submission, but perhaps not always
            globs.append(ArtifactGlob(text))
    return globs
