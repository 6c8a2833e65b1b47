"""The progress that a job's log reports, as events among those of the log."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from ci_common.errors import RunnerError
from ci_common.events import Event, LogEvent
from ci_common.job import Job
from ci_common.progress import MAX_LINE_BYTES, PREFIX, Progress, read_progress
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

LOOK_BACK_BYTES = 64 << 10
"""How much of the log before a reader's offset is searched for the iteration it is in."""

_AT_LINE_START = b"\n" + PREFIX


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """A report. It comes after the log event that ends with its line."""

    progress: Progress
    end_offset: int
    """The offset in the log after the line: the event's id."""
    begins_iteration: bool
    """Whether it is the first of its iteration, as far as the reader knows."""


@dataclass(frozen=True, slots=True)
class LogWithProgress:
    """A log event in pieces, with the reports in it."""

    pieces: Iterator[LogEvent | ProgressEvent]
    """To be gone through once. It takes long where a job reports and reports."""
    end_offset: int
    """That of the log event."""


class ProgressReader:
    """Finds reports in the consecutive log events of one reader."""

    def __init__(self, *, in_line: bool = False) -> None:
        """`in_line` when the first event continues a line, of which the beginning is unknown."""
        self._held = b""
        """The beginning of the current line, as long as it may become a report."""
        self._in_line = in_line
        """Whether the current line began with something else."""
        self._iteration: int | None = None

    def read(self, event: LogEvent) -> Iterator[LogEvent | ProgressEvent]:
        """The same log, cut where reports end, with the reports."""
        content, sent = self._held + event.content, len(self._held)
        start = event.end_offset - len(content)
        for end, progress in self._reports(content):
            yield LogEvent(content[sent:end], start + end)
            yield ProgressEvent(progress, start + end, self._begins_iteration(progress))
            sent = end
        if sent < len(content):
            yield LogEvent(content[sent:], event.end_offset)

    def _reports(self, content: bytes) -> Iterator[tuple[int, Progress]]:
        """The reports in `content`, and where their lines end. Takes note of the last line."""
        at = 0
        if self._in_line:
            at = content.find(b"\n") + 1
            if not at:
                return
        while (found := _next_prefix(content, at)) is not None:
            at = content.find(b"\n", found) + 1
            if not at:
                break
            if (progress := read_progress(content[found : at - 1])) is not None:
                yield at, progress
        last = content[content.rfind(b"\n") + 1 :]
        may_be = PREFIX.startswith(last) or (
            last.startswith(PREFIX) and len(last) <= MAX_LINE_BYTES
        )
        self._held, self._in_line = (last, False) if may_be else (b"", True)

    def _begins_iteration(self, progress: Progress) -> bool:
        if progress.iteration is None or progress.iteration == self._iteration:
            return False
        self._iteration = progress.iteration
        return True


def _next_prefix(content: bytes, start: int) -> int | None:
    """Where the next line that may be a report begins, from a line's beginning on."""
    if content.startswith(PREFIX, start):
        return start
    return content.find(_AT_LINE_START, start) + 1 or None


async def events_with_progress(
    streams: LogStreams, job: Job, offset: int
) -> AsyncGenerator[Event | ProgressEvent | LogWithProgress, None]:
    """The job's events from `offset` on, see `LogStreams.events`, with the progress in its log.

    A connection may have ended between the log and the report that comes after it, so a report
    that ends at `offset` is told, perhaps again. The pieces of a log event have to be gone through
    before the next one.
    """
    reader = ProgressReader()
    if offset:
        reader, missed = await asyncio.to_thread(_read_before, streams, job, offset)
        for report in missed:
            yield report
    async with aclosing(streams.events(job, offset)) as events:
        async for event in events:
            if isinstance(event, LogEvent):
                yield LogWithProgress(reader.read(event), event.end_offset)
            else:
                yield event


def _read_before(
    streams: LogStreams, job: Job, offset: int
) -> tuple[ProgressReader, list[ProgressEvent]]:
    """A reader that knows what is before the offset, and the reports that end there."""
    start = max(offset - LOOK_BACK_BYTES, 0)
    try:
        streams.check_stored(job, offset)
        content = streams.read(job, start, offset)
    except (RunnerError, OSError) as error:
        logger.info("job %s: its log cannot be read: %s", job.job_id, error)
        return ProgressReader(in_line=True), []
    reader = ProgressReader(in_line=start > 0)
    told = [
        event
        for event in reader.read(LogEvent(content, offset))
        if isinstance(event, ProgressEvent) and event.end_offset == offset
    ]
    return reader, told
