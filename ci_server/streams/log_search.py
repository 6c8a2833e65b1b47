"""Searches through logs, on threads, whose hits are streams."""

import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeAlias

from ci_common.errors import LogCorruptError
from ci_common.job import Job
from ci_common.ports.logs import LogReader
from ci_server.streams.log_positions import LogExtent, LogPositions, MarkedLog
from ci_server.streams.log_scan import Hit, LogScan
from ci_server.streams.log_threads import LogThreads
from ci_server.streams.search_term import SearchTerm

logger = logging.getLogger(__name__)

MOST_HITS = 1000
_PIECE = 256 << 10
"""As large as the frames of archives; other threads get their turn after each."""

_STEP_SECONDS = 0.03
"""So long a search may go on after nobody wants its hits any more; and others wait for so long."""

_PROGRESS_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class TimedHit:
    """A hit, and when it was received, as the marks tell it."""

    hit: Hit
    received_at: float | None


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """What was searched."""

    hits: int
    offset: int
    """Up to here."""
    extent: LogExtent
    """Of the log when the search began."""
    truncated: bool
    """Whether there are more hits than were wanted."""
    damaged: bool
    """Whether the log cannot be read from `offset` on."""


SearchEvent: TypeAlias = TimedHit | SearchProgress | SearchEnd


class LogSearches:
    """For the logs of all jobs."""

    def __init__(self, logs: LogReader, positions: LogPositions, threads: LogThreads) -> None:
        self._logs = logs
        self._positions = positions
        self._threads = threads

    async def begin(
        self, job: Job, term: SearchTerm, offset: int = 0, most: int = MOST_HITS
    ) -> "LogSearch":
        """A search for at most so many hits in what there is of the log now, from an offset on.

        Raises LogCorruptError, StorageUnavailableError.
        """
        return await self._threads.run(job.tenant, self._begin, job, term, offset, most)

    async def events(self, search: "LogSearch") -> AsyncGenerator[SearchEvent, None]:
        """The hits, and what was searched. Whoever closes the generator ends the search.

        Raises StorageUnavailableError.
        """
        most, told, told_at = search.most, 0, time.monotonic()
        while not search.is_over:
            for hit in await self._threads.run(search.tenant, search.step):
                if told == most:
                    search.cut(hit)
                    break
                yield hit
                told, told_at = told + 1, time.monotonic()
            if time.monotonic() - told_at >= _PROGRESS_SECONDS and not search.is_over:
                yield SearchProgress(search.offset, search.size)
                told_at = time.monotonic()
        yield search.end(told)

    def _begin(self, job: Job, term: SearchTerm, offset: int, most: int) -> "LogSearch":
        return LogSearch(self._logs, job, self._positions.look(job), term, offset, most)


class LogSearch:
    """One of them. Its methods are called on one thread at a time."""

    def __init__(
        self,
        logs: LogReader,
        job: Job,
        marked: MarkedLog,
        term: SearchTerm,
        offset: int,
        most: int,
    ) -> None:
        self._logs = logs
        self._job = job
        self.tenant = job.tenant
        """Whose turn it uses."""
        self._marked = marked
        self._extent = marked.extent
        self.most = most
        offset = min(offset, self._extent.size)  # of a live log after a power cut it may be behind
        begin = marked.position(offset)
        self._scan = LogScan(term, most + 1, offset, begin.line, begin.line_offset)
        self.offset = self._scan.first_offset
        """Up to here the log has been read."""
        self.size = self._extent.size
        self.is_over = False
        self._truncated = self._damaged = False

    def step(self) -> list[TimedHit]:
        """Go on for a moment, or up to the next hits."""
        until = time.monotonic() + _STEP_SECONDS
        hits: list[Hit] = []
        while not hits and not self.is_over and time.monotonic() < until:
            hits = self._read_on()
        return [TimedHit(hit, self._marked.time_of(hit.offset)) for hit in hits]

    def cut(self, following: TimedHit) -> None:
        """No more hits are wanted; this is the first of those."""
        self.is_over = self._truncated = True
        self.offset = following.hit.offset

    def end(self, hits: int) -> SearchEnd:
        """What was searched, when it is over."""
        return SearchEnd(hits, self.offset, self._extent, self._truncated, self._damaged)

    def _read_on(self) -> list[Hit]:
        if self.offset >= self.size:
            self.is_over = True
            return self._scan.finish()
        wanted = min(_PIECE - self.offset % _PIECE, self.size - self.offset)
        try:
            content = self._logs.read(self._job.job_id, self.offset, wanted)
            if not content:
                raise LogCorruptError("the log ends too early")
        except LogCorruptError as error:
            logger.error("job %s: its log cannot be searched: %s", self._job.job_id, error)  # noqa: TRY400
            self.is_over = self._damaged = True
            return self._scan.finish()
        self.offset += len(content)
        return self._scan.feed(content)
