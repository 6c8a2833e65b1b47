"""From a cursor in a job's log to events: replay, then live, then the result."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import replace

from ci_common.errors import (
    InvalidOffsetError,
    LogCorruptError,
    LogMissingError,
    StorageUnavailableError,
)
from ci_common.events import CompleteEvent, Event, LogEvent, StatusEvent
from ci_common.job import Job, JobStatus
from ci_common.ports.logs import LogReader
from ci_common.ports.rows import JobSubmissions
from ci_common.ports.signals import JobSignals
from ci_server.streams.queue_places import QueuePlaces

logger = logging.getLogger(__name__)

CHUNK_BYTES = 128 << 10
"""Log events end at multiples of this at the latest, so that readers share their encoding."""

_FASTEST_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.25
_FLOOD_BYTES = 16 << 10
_FLOOD_SECONDS = 0.005
"""A log that grows by so much between two looks is not looked at again before."""

_TAIL_BLOCK_BYTES = 64 << 10
_CHARACTER_BYTES = 4
"""The longest character of UTF-8."""


class JobWatch:
    """What is known of one job, kept fresh while anybody of this process watches it.

    Watchers take `job` first and `size` second: when the job is finished, its `log_size` is
    final and the log has it all.
    """

    def __init__(self, job: Job, size: int) -> None:
        self.job = job
        self.size = size
        self.position: int | None = None
        """The place in the queue; `None` when the job is not queued, or not known yet."""
        self.changed = asyncio.Event()
        """Set, and replaced by a new one, whenever `job` or `size` changed."""
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None

    def update(self, job: Job, size: int, position: int | None) -> bool:
        """Take in what was seen; True when it is news."""
        if (job, size, position) == (self.job, self.size, self.position):
            return False
        self.job, self.size, self.position = job, size, position
        self.wake()
        return True

    def wake(self) -> None:
        """Let all watchers look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class LogStreams:
    """Streams of one process. A subscriber is a cursor into the file: a slow one costs nothing
    but its own position.
    """

    def __init__(self, jobs: JobSubmissions, logs: LogReader, signals: JobSignals) -> None:
        self._jobs = jobs
        self._logs = logs
        self._signals = signals
        self._places = QueuePlaces(jobs)
        self._watches: dict[str, JobWatch] = {}

    def size(self, job: Job) -> int:
        """Bytes of the log so far; final when the job is."""
        return self._logs.size(job.job_id) if job.log_size is None else job.log_size

    def check_offset(self, job: Job, offset: int) -> None:
        """Raise InvalidOffsetError when the log will never get there.

        A reader may be ahead of a live log: a power cut loses bytes that were sent, and not synced
        yet. The workload's output brings them again.
        """
        if offset < 0 or (job.log_size is not None and offset > job.log_size):
            raise InvalidOffsetError(
                f"the offset {offset} is not in the log, which has {self.size(job)} bytes"
            )

    def check_readable(self, job: Job) -> None:
        """Raise StorageUnavailableError when no log can be read now. One that is damaged, or
        missing, has a stream all the same, for the sake of the result.
        """
        if job.log_size == 0:
            return
        with contextlib.suppress(LogCorruptError):
            self._logs.size(job.job_id)

    def check_stored(self, job: Job, end: int | None = None) -> None:
        """Raise unless the log is stored up to `end`, by default to its end so far: once an answer
        has begun it is too late to say that there is nothing to send.

        Raises LogMissingError, LogCorruptError, StorageUnavailableError.
        """
        stored = self._logs.size(job.job_id)
        wanted = (job.log_size or 0) if end is None else end
        if stored >= wanted:
            return
        if stored == 0:
            raise LogMissingError
        raise LogCorruptError(f"job {job.job_id}: {stored} of its log's {wanted} bytes are stored")

    def read(self, job: Job, offset: int, end: int) -> bytes:
        """A piece of the log: at most a chunk, empty at `end`."""
        return self._logs.read(job.job_id, offset, min(CHUNK_BYTES, max(end - offset, 0)))

    def tail_offset(self, job: Job, lines: int) -> int:
        """Where the last `lines` lines of the log so far begin."""
        position = end = self.size(job)
        if lines == 0:
            return end
        left = lines + 1  # the newline before them, too
        while position > 0:
            start = max(position - _TAIL_BLOCK_BYTES, 0)
            block = self._logs.read(job.job_id, start, position - start)
            if position == end and not block.endswith(b"\n"):
                left -= 1  # an unfinished line is a line
            at = len(block)
            while left and (at := block.rfind(b"\n", 0, at)) >= 0:
                left -= 1
            if not left:
                return start + at + 1
            position = start
        return 0

    async def events(self, job: Job, offset: int) -> AsyncGenerator[Event, None]:
        """The job's moves and its log from `offset`, to the end, then the result.

        Never gives up while the job is alive.
        """
        told: StatusEvent | None = None
        async with self._watching(job) as watch:
            while True:
                job, size, changed = watch.job, watch.size, watch.changed
                status = StatusEvent(job.status, watch.position)
                if status != told and not job.status.is_terminal:
                    told = status
                    yield status
                final = job.log_size is not None
                end = size if job.log_size is None else job.log_size
                try:
                    while offset < end and (event := self._next(job, offset, end, final)):
                        yield event
                        offset = event.end_offset
                        # Sending to a reader that is gone, or as fast as we are, does not wait.
                        # Others get their turn, and whoever notices that it is gone, too.
                        await asyncio.sleep(0)
                except StorageUnavailableError:
                    return  # not the end: a reader that comes back is told, or goes on
                except LogCorruptError as error:
                    if not final:
                        raise
                    logger.error("job %s: %s", job.job_id, error)  # noqa: TRY400
                if final:
                    yield CompleteEvent(job if offset >= end else _without_its_end(job, offset))
                    return
                await changed.wait()

    async def ended(self, job: Job) -> Job:
        """The job once it has ended."""
        async with self._watching(job) as watch:
            while not watch.job.status.is_terminal:
                await watch.changed.wait()
            return watch.job

    async def content(
        self, job: Job, offset: int, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The log from `offset` as it comes, up to `end` or to the log's own.

        Raises LogCorruptError when it stops before: bytes have no result that tells it.
        """
        position, size = offset, None
        async with aclosing(self.events(job, offset)) as events:
            async for event in events:
                if isinstance(event, LogEvent):
                    yield event.content if end is None else event.content[: end - position]
                    position = event.end_offset
                    if end is not None and position >= end:
                        return
                elif isinstance(event, CompleteEvent):
                    size = event.job.log_size
        if size is None or position < size:
            raise LogCorruptError(
                f"job {job.job_id}: its log cannot be read from byte {position} on"
            )

    def _next(self, job: Job, offset: int, end: int, final: bool) -> LogEvent | None:
        """The next log event, or `None` when only a part of a character is there yet."""
        # A character that lies across a boundary begins the next chunk, with what follows it.
        boundary = (offset + _CHARACTER_BYTES - 1) // CHUNK_BYTES * CHUNK_BYTES + CHUNK_BYTES
        content = self._logs.read(job.job_id, offset, min(boundary, end) - offset)
        if offset + len(content) < end:
            # There is more: cut where a reader would, if there is such a place.
            content = cut_where_readable(content)
        elif not final:
            content = _whole_characters(content)
        return LogEvent(content, offset + len(content)) if content else None

    @asynccontextmanager
    async def _watching(self, job: Job) -> AsyncIterator[JobWatch]:
        position = await self._first_position(job)
        watch = self._watches.get(job.job_id)
        if watch is None:
            # Row first, then size: see JobWatch.
            watch = self._watches[job.job_id] = JobWatch(job, self.size(job))
            watch.position = position
            watch.task = asyncio.create_task(
                # For all who watch, not for the request that happens to be the first.
                self._keep_fresh(watch),
                context=Context(),
            )
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if watch.watchers == 0:
                del self._watches[job.job_id]
                if watch.task is not None:
                    watch.task.cancel()

    async def _keep_fresh(self, watch: JobWatch) -> None:
        """Look when signalled, and now and then also unasked: another process may write."""
        job_id = watch.job.job_id
        subscription = self._signals.subscribe(job_id)
        pause = _FASTEST_POLL_SECONDS
        try:
            while not watch.job.status.is_terminal:
                before = watch.size
                try:
                    news = await self._look(watch)
                except StorageUnavailableError:
                    news = False
                except Exception:
                    logger.exception("job %s: cannot read its state; retrying", job_id)
                    news = False
                pause = _FASTEST_POLL_SECONDS if news else min(pause * 1.5, _SLOWEST_POLL_SECONDS)
                if watch.size - before >= _FLOOD_BYTES:
                    # Signals come as fast as looks then: each look finds, and sends, more.
                    await asyncio.sleep(_FLOOD_SECONDS)
                await subscription.wait(pause)
        finally:
            subscription.close()

    async def _look(self, watch: JobWatch) -> bool:
        job = await self._jobs.get(watch.job.job_id)
        if job is None:
            raise LookupError("its row is gone")
        position = None
        if job.status is JobStatus.QUEUED:
            # One that is newer than what was read of the queue stays where it was.
            position = await self._places.place(job) or watch.position
        try:
            size = self._logs.size(job.job_id)
        except StorageUnavailableError:
            size = watch.size  # the row may have news all the same
        return watch.update(job, size, position)

    async def _first_position(self, job: Job) -> int | None:
        queued = job.status is JobStatus.QUEUED
        return await self._jobs.queue_position(job) if queued else None


def _without_its_end(job: Job, offset: int) -> Job:
    """The job, with a message that tells that its stored log is damaged: the result holds."""
    logger.error("job %s: its log cannot be read from byte %d on", job.job_id, offset)
    if job.outcome is None:
        return job
    message = f"{job.outcome.message}; its stored log cannot be read from byte {offset} on"
    return replace(job, outcome=replace(job.outcome, message=message))


def cut_where_readable(content: bytes) -> bytes:
    """What of a log's content makes a good event when more follows: its whole lines, or else its
    whole characters; never nothing.
    """
    return content[: content.rfind(b"\n") + 1] or _whole_characters(content) or content


def _whole_characters(content: bytes) -> bytes:
    """Without the first bytes of a UTF-8 character at the end that is not all there."""
    for back in range(1, min(_CHARACTER_BYTES, len(content)) + 1):
        byte = content[-back]
        if byte < 0x80:
            return content
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return content[:-back] if back < length else content
    return content
