"""What a job leaves behind: its artifacts, stored, and its test reports, summed up."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from ci_common.artifact_paths import ArtifactGlob, is_artifact_path, roots
from ci_common.errors import EngineFailingError, FilesUnreadableError
from ci_common.job import Artifact, Job, Outcome, SuiteSummary
from ci_common.ports.artifacts import ArtifactBatch, ArtifactWriter
from ci_common.ports.workloads import Executor, Workload, WorkloadFile
from ci_controller.job_environment import REPORT
from ci_controller.junit_report import MAX_REPORT_BYTES, BadReportError, JUnitReport, Tally

Result = TypeVar("Result")

MAX_REPORTS_BYTES = 64 << 20
"""Of all reports of a job: to read as much may take a core a minute."""


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


@dataclass(frozen=True, slots=True)
class Collected:
    """What a job left behind."""

    artifacts: tuple[Artifact, ...] = ()
    tests: SuiteSummary | None = None
    left_out: str = ""
    """What is missing and why, for people; empty when nothing is."""

    def note(self, outcome: Outcome) -> Outcome:
        """The outcome, with what was left out said in its message."""
        if not self.left_out:
            return outcome
        return replace(outcome, message=f"{outcome.message}; {self.left_out}")


class ArtifactCollector:
    """Copies artifacts from exited workloads to the store."""

    def __init__(self, executor: Executor, store: ArtifactWriter, limits: ArtifactLimits) -> None:
        self._executor = executor
        self._store = store
        self._limits = limits

    async def collect(self, job: Job, workload: Workload, last_try: bool = False) -> Collected:
        """What the job left, the artifacts durably stored; nothing of it when this raises.

        Safe to repeat: what was stored before is replaced. At the `last_try` files at which the
        engine fails are left out. Raises EngineUnavailableError, WorkloadLostError,
        LeaseLostError, and OSError when the disk is full.
        """
        globs = _globs(job)
        batch = await _on_thread(lambda: self._store.begin(job.job_id))
        collection = _Collection(globs, batch, self._limits, workload.started_at)
        try:
            try:
                async with asyncio.timeout(self._limits.max_seconds):
                    for root in roots(globs):
                        await self._take(job.job_id, root, collection, last_try)
            except TimeoutError:
                collection.unreadable.append(
                    f"whatever was not found within {self._limits.max_seconds:g} s"
                )
            await _on_thread(batch.commit)
        except BaseException:
            await _on_thread(batch.discard)
            raise
        return collection.result()

    async def _take(
        self, job_id: str, root: str, collection: "_Collection", last_try: bool
    ) -> None:
        try:
            files = await self._executor.files(job_id, root)
            if files is None:
                return
            try:
                await _on_thread(lambda: collection.take_all(files), files.close)
            finally:
                files.close()
        except (FilesUnreadableError, EngineFailingError) as error:
            if isinstance(error, EngineFailingError) and not last_try:
                raise
            # Not worth the job's result, and to try again would not help.
            collection.unreadable.append(f"{root!r} is incomplete: {error.message}")


def _globs(job: Job) -> list[ArtifactGlob]:
    """What to keep. The report that pytest was asked for is always wanted."""
    globs = [ArtifactGlob(REPORT)]
    for text in job.spec.artifacts:
        with contextlib.suppress(ValueError):  # refused at submission, but perhaps not always
            globs.append(ArtifactGlob(text))
    return globs


class _Collection:
    """The artifacts of one job while they are collected; for one thread at a time."""

    def __init__(
        self,
        globs: list[ArtifactGlob],
        batch: ArtifactBatch,
        limits: ArtifactLimits,
        started_at: datetime | None,
    ) -> None:
        self._globs = globs
        self._batch = batch
        self._limits = limits
        self._started_at = started_at
        self._artifacts: list[Artifact] = []
        self._size = 0
        self._left_out: Counter[str] = Counter()
        self._tally: Tally | None = None
        self._report_bytes = 0
        """Of all that may be reports."""
        self._unread_reports = 0
        self.unreadable: list[str] = []
        """What could not be had, for people."""

    def take_all(self, files: Iterable[WorkloadFile]) -> None:
        """Store what matches, and read the reports in it."""
        for file in files:
            if any(glob.matches(file.path) for glob in self._globs):
                self._take(file)

    def result(self) -> Collected:
        """What was stored and read."""
        missing = [f"{count} {why}" for why, count in self._left_out.items()] + self.unreadable
        left_out = [f"artifacts left out: {', '.join(missing)}"] if missing else []
        if self._unread_reports:
            most = MAX_REPORTS_BYTES >> 20
            left_out.append(f"{self._unread_reports} test reports beyond {most} MiB were not read")
        return Collected(
            artifacts=tuple(sorted(self._artifacts, key=lambda artifact: artifact.path)),
            tests=self._tally.summary() if self._tally else None,
            left_out="; ".join(left_out),
        )

    def _take(self, file: WorkloadFile) -> None:
        report = self._report_of(file)
        content = report.watch(file.content) if report else file.content
        obstacle = self._obstacle(file)
        if obstacle is None:
            artifact = self._batch.add(file.path, content)
            self._artifacts.append(artifact)
            self._size += artifact.size
        else:
            self._left_out[obstacle] += 1
            if report:
                deque(content, maxlen=0)
        if report and (tally := report.tally()):
            self._tally = self._tally or Tally()
            self._tally.add(tally)

    def _obstacle(self, file: WorkloadFile) -> str | None:
        if not is_artifact_path(file.path):
            return "with names that are not UTF-8 or too long"
        if len(self._artifacts) >= self._limits.max_files:
            return f"beyond the limit of {self._limits.max_files} files"
        if self._size + file.size > self._limits.max_bytes:
            return f"beyond the limit of {self._limits.max_bytes >> 20} MiB"
        return None

    def _report_of(self, file: WorkloadFile) -> "_Report | None":
        if not self._may_be_report(file):
            return None
        self._report_bytes += file.size
        if self._report_bytes > MAX_REPORTS_BYTES:
            self._unread_reports += 1
            return None
        return _Report()

    def _may_be_report(self, file: WorkloadFile) -> bool:
        """Whether it is to be tried. What came with the project says nothing about this run."""
        fresh = self._started_at is None or file.modified_at >= self._started_at
        return fresh and file.path.endswith(".xml") and file.size <= MAX_REPORT_BYTES


class _Report:
    """Reads a report out of the corner of an eye."""

    def __init__(self) -> None:
        self._report: JUnitReport | None = JUnitReport()

    def watch(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """The content as it is."""
        for piece in content:
            if self._report is not None:
                try:
                    self._report.feed(piece)
                except BadReportError:
                    self._report = None
            yield piece

    def tally(self) -> Tally | None:
        """What the report says; `None` when it was none."""
        with contextlib.suppress(BadReportError):
            return self._report.close() if self._report is not None else None
        return None


async def _on_thread(
    work: Callable[[], Result], interrupt: Callable[[], None] | None = None
) -> Result:
    """Run on a thread. When cancelled, `interrupt` it and wait: whoever cleans up comes after."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if interrupt is not None:
            interrupt()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
