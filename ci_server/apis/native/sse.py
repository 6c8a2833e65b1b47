"""The event stream of the HTTP API: events encoded once for all readers at the same place."""

import json
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ci_common.events import CompleteEvent, Event, JobIdEvent, LogEvent, StatusEvent
from ci_server.apis.native.present import event_json

RETRY_MILLISECONDS = 1000
_CACHE_BYTES = 16 << 20
_ENTRY_BYTES = 256
"""What an entry takes besides its content; of many small events that is most of it."""


class LogEventCache:
    """The encoded form of the log events last asked for. Logs never change, so it is never
    wrong; with many readers of one live log each event is encoded once.
    """

    def __init__(self) -> None:
        self._encoded: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._bytes = 0

    def encode(self, job_id: str, event: LogEvent) -> bytes:
        """The event on the wire."""
        key = (job_id, event.end_offset, len(event.content))
        found = self._encoded.get(key)
        if found is not None:
            self._encoded.move_to_end(key)
            return found
        encoded = encode(event_json(event), event.end_offset)
        self._encoded[key] = encoded
        self._bytes += len(encoded) + _ENTRY_BYTES
        while self._bytes > _CACHE_BYTES and len(self._encoded) > 1:
            self._bytes -= len(self._encoded.popitem(last=False)[1]) + _ENTRY_BYTES
        return encoded


def encode(data: dict[str, object], event_id: int | None = None) -> bytes:
    """One event. ASCII only: no client can trip over a separator that is not CR or LF."""
    head = b"" if event_id is None else b"id: %d\n" % event_id
    return head + b"data: " + json.dumps(data, separators=(",", ":")).encode("ascii") + b"\n\n"


async def encoded_events(
    job_id: str,
    events: AsyncGenerator[Event, None],
    cache: LogEventCache,
    offset: int,
    *,
    with_job_id: bool = False,
    with_status: bool = True,
) -> AsyncGenerator[bytes, None]:
    """The body of a stream that starts at `offset`. Every `status` event has the offset
    reached as its id, so that a client can resume before it has seen any log.
    """
    yield b": stream of job %s\nretry: %d\n\n" % (job_id.encode(), RETRY_MILLISECONDS)
    if with_job_id:
        yield encode(event_json(JobIdEvent(job_id)), offset)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, LogEvent):
                offset = event.end_offset
                yield cache.encode(job_id, event)
            elif isinstance(event, CompleteEvent):
                yield encode(event_json(event))
            elif with_status or not isinstance(event, StatusEvent):
                yield encode(event_json(event), offset)
