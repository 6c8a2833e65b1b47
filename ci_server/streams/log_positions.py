"""Where lines are in a log, and when they were received."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from ci_common.errors import InvalidOffsetError, LogCorruptError
from ci_common.job import Job
from ci_common.ports.logs import MARK_SECONDS, LogMark, LogMarks, LogReader
from ci_server.streams.log_threads import LogThreads


@dataclass(frozen=True, slots=True)
class LogExtent:
    """How much there is of a log now."""

    size: int
    """Bytes."""
    lines: int
    """Its lines; one that has no end yet is a line."""
    final: bool
    """Whether it will not grow."""


@dataclass(frozen=True, slots=True)
class MarkQuery:
    """Which marks are asked for."""

    limit: int
    """The most."""
    offset: int = 0
    """They begin with the last one at or before this."""
    end: int | None = None
    """Only those before it."""
    since: datetime | None = None
    """Only from the first on after which something may have been received at this time or later."""
    every: int = 0
    """At least so many bytes are between two of them."""


@dataclass(frozen=True, slots=True)
class MarkPage:
    """Marks that were asked for."""

    extent: LogExtent
    marks: Sequence[LogMark]
    timed: bool
    """Whether any mark of the log from `MarkQuery.offset` on has a time."""
    following: int | None
    """The offset of the next mark, when there are more than were wanted."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """One byte of a log, or its end."""

    extent: LogExtent
    offset: int
    line: int
    """The number of its line, from 1."""
    line_offset: int
    """Where this line begins."""
    received_at: float | None
    """When it was received, as the marks tell it."""


class LogPositions:
    """For the logs of all jobs."""

    def __init__(self, logs: LogReader, marks: LogMarks, threads: LogThreads) -> None:
        self._logs = logs
        self._marks = marks
        self._threads = threads

    async def marks(self, job: Job, query: MarkQuery) -> MarkPage:
        """Raises LogCorruptError."""
        return await self._threads.run(job.tenant, self._mark_page, job, query)

    async def at_offset(self, job: Job, offset: int) -> LogPosition:
        """The place of a byte. Raises InvalidOffsetError, LogCorruptError."""
        return await self._threads.run(job.tenant, self._at_offset, job, offset)

    async def at_line(self, job: Job, line: int) -> LogPosition:
        """The beginning of a line, from 1. Raises InvalidOffsetError, LogCorruptError."""
        return await self._threads.run(job.tenant, self._at_line, job, line)

    def _mark_page(self, job: Job, query: MarkQuery) -> MarkPage:
        marked = self.look(job, query.offset)
        wanted = _since(marked.marks, query.since)
        chosen: list[LogMark] = []
        following = None
        for mark in _spread(wanted, query.every):
            if query.end is not None and mark.offset >= query.end:
                break
            if len(chosen) == query.limit:
                following = mark.offset
                break
            chosen.append(mark)
        timed = any(mark.received_at is not None for mark in marked.marks)
        return MarkPage(marked.extent, chosen, timed, following)

    def _at_offset(self, job: Job, offset: int) -> LogPosition:
        marked = self.look(job)
        if not 0 <= offset <= marked.extent.size:
            raise InvalidOffsetError(
                f"the offset {offset} is not in the log, which has {marked.extent.size} bytes"
            )
        return marked.position(offset)

    def _at_line(self, job: Job, line: int) -> LogPosition:
        marked = self.look(job)
        if line > max(marked.extent.lines, 1):
            raise InvalidOffsetError(
                f"the line {line} is not in the log, which has {marked.extent.lines} lines"
            )
        return marked.position(marked.offset_of_line(line))

    def look(self, job: Job, offset: int = 0) -> "MarkedLog":
        """What is known of the log from this offset on; for a thread. Raises LogCorruptError."""
        size = self._logs.size(job.job_id) if job.log_size is None else job.log_size
        marks = [mark for mark in self._marks.marks(job.job_id, offset) if mark.offset < size]
        return MarkedLog(self._logs, job, size, marks)


class MarkedLog:
    """One log and its marks, as they are at one moment."""

    def __init__(self, logs: LogReader, job: Job, size: int, marks: Sequence[LogMark]) -> None:
        self._logs = logs
        self._job = job
        self._size = size
        self.marks = marks

    @property
    def extent(self) -> LogExtent:
        """Of all of it."""
        ends_line = self._size == 0 or self._read(self._size - 1, self._size) == b"\n"
        lines = self.lines_before(self._size) + (not ends_line)
        return LogExtent(self._size, lines, self._job.log_size is not None)

    def position(self, offset: int) -> LogPosition:
        """What is known of one byte."""
        line = self.lines_before(offset) + 1
        mark = self._mark_before(offset)
        received_at = None if mark is None else mark.received_at
        return LogPosition(self.extent, offset, line, self.offset_of_line(line), received_at)

    def time_of(self, offset: int) -> float | None:
        """When this byte was received."""
        mark = self._mark_before(offset)
        return None if mark is None else mark.received_at

    def lines_before(self, offset: int) -> int:
        """The line ends before this byte."""
        mark = self._mark_before(offset)
        if mark is None:
            return 0
        return mark.lines + self._read(mark.offset, offset).count(b"\n")

    def offset_of_line(self, line: int) -> int:
        """Where a line that there is begins."""
        if line == 1:
            return 0
        following = bisect_left(self.marks, line - 1, key=attrgetter("lines"))
        mark = self.marks[following - 1]
        after = self.marks[following].offset if following < len(self.marks) else self._size
        content, at = self._read(mark.offset, after), -1
        for _ in range(line - 1 - mark.lines):
            at = content.index(b"\n", at + 1)
        return mark.offset + at + 1

    def _mark_before(self, offset: int) -> LogMark | None:
        """The last one at or before it."""
        number = bisect_left(self.marks, offset + 1, key=attrgetter("offset"))
        return self.marks[number - 1] if number else None

    def _read(self, offset: int, end: int) -> bytes:
        content = self._logs.read(self._job.job_id, offset, end - offset)
        if len(content) < end - offset:
            raise LogCorruptError(
                f"job {self._job.job_id}: {offset + len(content)} of its log's {self._size} bytes "
                "are stored"
            )
        return content


def _since(marks: Sequence[LogMark], moment: datetime | None) -> Sequence[LogMark]:
    if moment is None:
        return marks
    time = moment.timestamp() - MARK_SECONDS
    for number, mark in enumerate(marks):
        if mark.received_at is not None and mark.received_at > time:
            return marks[number:]
    return ()


def _spread(marks: Sequence[LogMark], distance: int) -> Iterator[LogMark]:
    """Those of the marks that are so far from the one before."""
    last: int | None = None
    for mark in marks:
        if last is None or mark.offset - last >= distance:
            last = mark.offset
            yield mark
