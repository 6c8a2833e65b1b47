"""The event stream of the HTTP API: events encoded once for all readers at the same place."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import chain
from typing import TypeAlias

from ci_common.errors import InvalidOffsetError, quoted
from ci_common.events import CompleteEvent, Event, JobIdEvent, LogEvent, StatusEvent
from ci_common.job import Job
from ci_common.ports.logs import LogMark
from ci_server.apis.native.present import event_json
from ci_server.apis.native.present_logs import mark_event_json
from ci_server.http.byte_range import offset_in_log
from ci_server.streams.encoded_cache import EncodedLogCache
from ci_server.streams.log_stream import LogStreams, cut_where_readable
from ci_server.streams.progress_events import LogWithProgress, ProgressEvent

RETRY_MILLISECONDS = 1000
FIRST_EVENT_BYTES = 16 << 10
"""The most that the first log event of a connection takes on the wire."""

RETRY_FIELD = b"retry: %d\n" % RETRY_MILLISECONDS
_EVENT_ID = re.compile(r"([0-9]{1,18})(:complete)?")
_CACHE_BYTES = 16 << 20
_JSON = json.JSONEncoder(separators=(",", ":"))
_TOGETHER_BYTES = 16 << 10
"""Small events are sent by so many bytes: sending takes longer than making one."""

WatchedEvent: TypeAlias = Event | ProgressEvent | LogWithProgress | LogMark


class LogEventCache(EncodedLogCache[bytes]):
    """Log events as Server-Sent Events."""

    def __init__(self) -> None:
        super().__init__(_encoded_log, len, _CACHE_BYTES)


def _encoded_log(_: str, event: LogEvent) -> bytes:
    return encode(event_json(event), event.end_offset)


class LogPieces:
    """The log events of one connection, cut so that a link that breaks again and again still
    carries the log: the first takes at most `FIRST_EVENT_BYTES` on the wire, and later ones about
    as much as all before them together. So of what a connection carried, about half is whole
    events at least, and a long replay soon has events as large as they are read.
    """

    def __init__(self, job_id: str, cache: LogEventCache) -> None:
        self._job_id = job_id
        self._cache = cache
        self._limit = FIRST_EVENT_BYTES
        self._sent = 0

    def encode(self, event: LogEvent) -> Iterator[bytes]:
        """The event on the wire, as one event or several."""
        content, end = event.content, event.end_offset
        while content:
            length, encoded = self._first_piece(content, end - len(content))
            self._sent += len(encoded)
            if self._sent >= self._limit:
                self._limit *= 2
            content = content[length:]
            yield encoded

    def _first_piece(self, content: bytes, start: int) -> tuple[int, bytes]:
        """How much of the content comes first, and its encoded form. What is tried is encoded in
        the cache, so that readers at the same place share the search, too.
        """
        room = self._limit - len(RETRY_FIELD)
        # Encoded content is never shorter.
        piece = content if len(content) <= room else cut_where_readable(content[:room])
        while True:
            encoded = self._cache.encode(self._job_id, LogEvent(piece, start + len(piece)))
            if len(encoded) <= room:
                return len(piece), encoded
            # A little less than the proportion, so that a few attempts are enough.
            length = len(piece) * room * 7 // (len(encoded) * 8)
            piece = cut_where_readable(content[: max(length, 1)])


def encode(data: dict[str, object], event_id: int | str | None = None) -> bytes:
    """One event. ASCII only: no client can trip over a separator that is not CR or LF."""
    head = b"" if event_id is None else b"id: %s\n" % str(event_id).encode("ascii")
    return head + b"data: " + _JSON.encode(data).encode("ascii") + b"\n\n"


def complete_id(job: Job) -> str:
    """The id of a finished job's `complete`."""
    return f"{job.log_size}:complete"


def parse_event_id(wanted: str) -> tuple[int, bool]:
    """The offset that an id of ours names, and whether it is that of `complete`.

    Raises InvalidOffsetError.
    """
    found = _EVENT_ID.fullmatch(wanted)
    if found is None:
        raise InvalidOffsetError(f"{quoted(wanted)} is not the id of an event of this stream")
    return int(found[1]), found[2] is not None


def place_in_stream(
    streams: LogStreams, job: Job, last_event_id: str | None, offset: str | None
) -> int | None:
    """The offset at which a reader resumes; `None` for one who has not been here.

    Raises InvalidOffsetError, and StreamOverError for one who has seen the end.
    """
    if last_event_id:
        # One that we sent is right even when the log ends before it: after a power cut the job
        # may have ended with a shorter log, and the reader still needs the result.
        start, has_result = parse_event_id(last_event_id)
        if has_result and job.log_size is not None:
            raise StreamOverError
        return start
    return None if offset is None else offset_in_log(streams, job, offset)


class StreamOverError(Exception):
    """The reader has seen `complete`: the answer is 204, which ends an `EventSource`."""


async def encoded_events(
    job_id: str,
    events: AsyncGenerator[Event, None]
    | AsyncGenerator[Event | LogMark, None]
    | AsyncGenerator[WatchedEvent, None],
    cache: LogEventCache,
    offset: int,
    *,
    with_job_id: bool = False,
    with_status: bool = True,
    encode_progress: Callable[[ProgressEvent], Iterable[bytes]] = lambda _: (),
) -> AsyncGenerator[bytes, None]:
    """The body of a stream that starts at `offset`. Every `status` event has the offset
    reached as its id, so that a client can resume before it has seen any log. Progress is told by
    doors that have events for it.

    The first event carries the time to reconnect: of a block that has nothing else, some clients
    make an event without data.
    """
    yield b": stream of job %s\n\n" % job_id.encode()
    retry = RETRY_FIELD
    if with_job_id:
        yield retry + encode(event_json(JobIdEvent(job_id)), offset)
        retry = b""
    pieces = LogPieces(job_id, cache)

    def on_the_wire(event: Event | ProgressEvent | LogMark) -> Iterable[bytes]:
        if isinstance(event, ProgressEvent):
            return encode_progress(event)
        if isinstance(event, LogMark):
            return (encode(mark_event_json(event)),)
        return _on_the_wire(event, pieces, offset)

    async with aclosing(events):
        async for event in events:
            if isinstance(event, StatusEvent) and not with_status:
                continue
            if isinstance(event, LogWithProgress):
                small = chain.from_iterable(map(on_the_wire, event.pieces))
                for encoded in _together(small):
                    yield retry + encoded
                    retry = b""
                    await asyncio.sleep(0)  # others get their turn
            else:
                for encoded in on_the_wire(event):
                    yield retry + encoded
                    retry = b""
            if isinstance(event, LogEvent | LogWithProgress):
                offset = event.end_offset


def _together(events: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    waiting: list[bytes] = []
    size = 0
    for event in events:
        waiting.append(event)
        size += len(event)
        if size >= _TOGETHER_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _on_the_wire(event: Event, pieces: LogPieces, offset: int) -> Iterable[bytes]:
    if isinstance(event, LogEvent):
        return pieces.encode(event)
    reached = complete_id(event.job) if isinstance(event, CompleteEvent) else offset
    return (encode(event_json(event), reached),)
