"""What is kept of the files a job left, and what its reports say; for one job."""

import posixpath
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from ci_common.artifact_paths import ArtifactGlob, is_artifact_path
from ci_common.coverage_files import CoverageFiles
from ci_common.job import (
    DEFAULT_ARTIFACTS,
    LEFT_OUT,
    Artifact,
    CoverageSummary,
    Outcome,
    SuiteSummary,
    utc_now,
)
from ci_common.ports.artifacts import ArtifactBatch
from ci_common.ports.workloads import WorkloadFile
from ci_controller.executors.shared.job_environment import MORE_REPORTS, REPORT
from ci_controller.running.coverage_reports import (
    COVERAGE_FILES,
    COVERAGE_NAMES,
    CoberturaReport,
    CoverageTally,
    LcovReport,
)
from ci_controller.running.report_xml import BadReportError, NotAReportError
from ci_controller.running.test_reports import JUnitReport, Tally

Result = TypeVar("Result")

MAX_REPORTS = 10_000
"""Of a job. A report has thousands of tests; this many are no reports."""

MAX_REPORTS_BYTES = 64 << 20
"""Of all reports of a job: to read as much may take a core a minute."""

LOOK_AHEAD_FILES = 1000
"""So many files are counted that are left out, beyond a limit that nothing fits under any more.
Then the rest, which may be a million, is not looked at."""

_LOOK_AHEAD_SHARE = 8
_LEAST_LOOK_AHEAD_BYTES = 1 << 30
"""What is left out is still sent by a container engine, to be thrown away. So it is bounded, too:
by a gibibyte, or by so many times the size that may be kept."""


_SHOWN = 300
"""Characters of a path in a message."""

_NAMED = 3
"""Reports that are named in a message."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a job left behind."""

    artifacts: tuple[Artifact, ...] = ()
    tests: SuiteSummary | None = None
    coverage: CoverageSummary | None = None
    coverage_files: CoverageFiles | None = None
    left_out: str = ""
    """What is missing and why, for people; empty when nothing is."""

    def note(self, outcome: Outcome) -> Outcome:
        """The outcome, with what was left out said in its message."""
        if not self.left_out:
            return outcome
        return replace(outcome, message=f"{outcome.message}; {self.left_out}")


class Collection:
    """The artifacts of one job while they are collected; for one thread at a time.

    Files are taken in the order in which they come, which is that of their paths: so the same
    files are kept each time.
    """

    def __init__(
        self,
        globs: Sequence[ArtifactGlob],
        batch: ArtifactBatch,
        max_files: int,
        max_bytes: int,
        started_at: datetime | None,
    ) -> None:
        """`max_files` and `max_bytes` are of all that is kept; `started_at` is when the job's
        command was started.
        """
        self._globs = globs
        self._coverage_globs = [ArtifactGlob(path) for path in COVERAGE_FILES]
        default = (REPORT, MORE_REPORTS, *DEFAULT_ARTIFACTS)
        self._unmatched = [glob for glob in globs if glob.text not in default]
        """Patterns of the job's own that no file has matched yet."""
        self._batch = batch
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._started_at = started_at
        self._artifacts: list[Artifact] = []
        self._size = 0
        self._left_out: Counter[str] = Counter()
        self._left_out_bytes = 0
        self._ended_at: str | None = None
        """The first file that was not looked at."""
        self._has_report = False
        """Whether the report that pytest was asked for has come by."""
        self._tally: Tally | None = None
        self._coverage: CoverageTally | None = None
        self._reports = 0
        self._report_bytes = 0
        """Of all that may be reports, as far as they were read."""
        self._bad_reports: dict[str, dict[str, str]] = {}
        """Why a report could not be read, by kind and path."""
        self._unread: Counter[str] = Counter()
        self.unreadable: list[str] = []
        """What could not be had, for people."""

    @property
    def is_over(self) -> bool:
        """Whether there is no use in looking at more files."""
        return self._ended_at is not None

    @property
    def has_report(self) -> bool:
        """Whether the report that pytest was asked for has come by."""
        return self._has_report

    @property
    def lacks_report(self) -> bool:
        """Whether pytest's report may be among the files that were not looked at."""
        return self.is_over and not self._has_report

    def take_all(self, files: Iterable[WorkloadFile]) -> None:
        """Store what matches, and read the reports in it, until the end, or until `is_over`."""
        for file in files:
            if not self._is_wanted(file):
                continue
            self._unmatched = [glob for glob in self._unmatched if not glob.matches(file.path)]
            obstacle = self._obstacle(file)
            if obstacle is not None and self._is_beyond_look_ahead(file):
                self._left_out[obstacle] += 1
                self._ended_at = file.path
                return
            self._take(file, obstacle)

    def take_report(self, files: Iterable[WorkloadFile]) -> None:
        """Read pytest's report, wherever it is, and store it if there is room."""
        for file in files:
            if file.path == REPORT and not self._has_report:
                self._take(file, self._obstacle(file))

    def result(self) -> Collected:
        """What was stored and read."""
        least = "at least " if self._ended_at is not None else ""
        missing = [f"{least}{count} {why}" for why, count in self._left_out.items()]
        if self._ended_at is not None:
            missing.append(f"everything from {self._ended_at[:_SHOWN]!r} on, in the order of paths")
        missing += self.unreadable
        left_out = [f"{LEFT_OUT}{', '.join(missing)}"] if missing else []
        left_out += [
            f"{count} test reports beyond {what} were not read"
            for what, count in self._unread.items()
        ]
        for kind, bad_reports in self._bad_reports.items():
            left_out += _told(kind, bad_reports)
        if self._unmatched and not missing:
            patterns = ", ".join(repr(glob.text[:_SHOWN]) for glob in self._unmatched)
            left_out.append(f"no file matches the artifact pattern {patterns}")
        return Collected(
            artifacts=tuple(sorted(self._artifacts, key=lambda artifact: artifact.path)),
            tests=self._tally.summary() if self._tally else None,
            coverage=self._coverage.summary() if self._coverage else None,
            coverage_files=self._coverage.files() if self._coverage else None,
            left_out="; ".join(left_out),
        )

    def _is_wanted(self, file: WorkloadFile) -> bool:
        """Coverage reports that the job did not ask to keep are kept if they are of this run."""
        if any(glob.matches(file.path) for glob in self._globs):
            return True
        may_be_coverage = any(glob.matches(file.path) for glob in self._coverage_globs)
        return may_be_coverage and self._is_fresh(file)

    def _take(self, file: WorkloadFile, obstacle: str | None) -> None:
        self._has_report = self._has_report or file.path == REPORT
        report = self._report_of(file)
        content = report.watch(file.content) if report else file.content
        if obstacle is None:
            artifact = replace(
                self._batch.add(file.path, content), modified_at=_recorded_time(file.modified_at)
            )
            self._artifacts.append(artifact)
            self._size += artifact.size
        else:
            self._left_out[obstacle] += 1
            self._left_out_bytes += file.size
            if report:
                deque(content, maxlen=0)
        if report:
            self._count(report, file.path)

    def _count(self, report: "_Report", path: str) -> None:
        self._report_bytes += report.size
        for reader in report.readers:
            try:
                self._add(reader)
            except NotAReportError as error:
                # Another reader may know it, unless its name says that this one should.
                if _is_coverage(reader) and posixpath.basename(path) in COVERAGE_NAMES:
                    self._bad_reports.setdefault("coverage", {})[path] = str(error)
            except BadReportError as error:
                kind = "coverage" if _is_coverage(reader) else "test"
                self._bad_reports.setdefault(kind, {})[path] = str(error)

    def _add(self, reader: "_Reader") -> None:
        if isinstance(reader.report, JUnitReport):
            tally = reader.close(reader.report.close)
            self._tally = self._tally or Tally()
            self._tally.add(tally)
        else:
            sources = reader.close(reader.report.close)
            self._coverage = self._coverage or CoverageTally()
            self._coverage.add(sources)

    def _obstacle(self, file: WorkloadFile) -> str | None:
        if not is_artifact_path(file.path):
            return "with names that are not UTF-8 or too long"
        if self._is_full:
            return f"beyond the limit of {self._max_files} files"
        if self._size + file.size > self._max_bytes:
            return f"beyond the limit of {self._max_bytes >> 20} MiB"
        return None

    @property
    def _is_full(self) -> bool:
        return len(self._artifacts) >= self._max_files

    def _is_beyond_look_ahead(self, file: WorkloadFile) -> bool:
        """Whether it costs too much to leave this one out, too, for what may follow."""
        # A smaller file may fit, or one with another name.
        most = LOOK_AHEAD_FILES if self._is_full else max(LOOK_AHEAD_FILES, self._max_files)
        most_bytes = max(_LOOK_AHEAD_SHARE * self._max_bytes, _LEAST_LOOK_AHEAD_BYTES)
        return self._left_out.total() >= most or self._left_out_bytes + file.size > most_bytes

    def _report_of(self, file: WorkloadFile) -> "_Report | None":
        readers = _readers_of(file.path) if self._is_fresh(file) else []
        if not readers:
            return None
        self._reports += 1
        if self._report_bytes >= MAX_REPORTS_BYTES:
            self._unread[f"{MAX_REPORTS_BYTES >> 20} MiB"] += 1
            return None
        if self._reports > MAX_REPORTS:
            self._unread[f"{MAX_REPORTS} files"] += 1
            return None
        return _Report(readers)

    def _is_fresh(self, file: WorkloadFile) -> bool:
        # Of some files only the second is known. What came with the project is older than that.
        return self._started_at is None or file.modified_at >= _whole_second(self._started_at)


@dataclass(slots=True)
class _Reader:
    """Tries to read a file in one format."""

    report: JUnitReport | CoberturaReport | LcovReport
    error: BadReportError | None = None
    """Why it gave up."""

    def feed(self, content: bytes) -> None:
        """The next bytes."""
        if self.error is None:
            try:
                self.report.feed(content)
            except BadReportError as error:
                self.error = error

    def close(self, close: Callable[[], Result]) -> Result:
        """What the report says. Raises NotAReportError, or BadReportError."""
        if self.error is not None:
            raise self.error
        return close()


class _Report:
    """Reads a file, in the formats that it may have, while it is copied."""

    def __init__(self, readers: Sequence[_Reader]) -> None:
        self.readers = readers
        self.size = 0
        """Bytes that were looked at."""

    def watch(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """The content as it is."""
        for piece in content:
            if any(reader.error is None for reader in self.readers):
                self.size += len(piece)
                for reader in self.readers:
                    reader.feed(piece)
            yield piece


def _readers_of(path: str) -> list[_Reader]:
    if path.endswith(".xml"):
        return [_Reader(JUnitReport()), _Reader(CoberturaReport(path))]
    if path.endswith((".info", ".lcov")):
        return [_Reader(LcovReport())]
    return []


def _is_coverage(reader: _Reader) -> bool:
    return not isinstance(reader.report, JUnitReport)


def _whole_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _recorded_time(modified_at: datetime) -> datetime:
    """A job may set any time; later than now, which no file system is obliged to keep and no HTTP
    server may tell, is now.
    """
    return _whole_second(min(modified_at, utc_now()))


def _told(kind: str, bad_reports: dict[str, str]) -> list[str]:
    """Which reports of a kind could not be read, and why, for people."""
    count = f"1 {kind} report" if len(bad_reports) == 1 else f"{len(bad_reports)} {kind} reports"
    named = [f"{path[:_SHOWN]!r} ({why})" for path, why in bad_reports.items()]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return [f"{count} could not be read: {', '.join(named[:_NAMED])}{more}"]
