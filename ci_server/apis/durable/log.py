"""The log of a job as a stream of bytes: offsets are those of the log, with leading zeros."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from ci_common.errors import InvalidOffsetError, quoted
from ci_common.events import CompleteEvent, LogEvent
from ci_common.job import Job
from ci_server.apis.durable.protocol import (
    BEGINNING,
    LONG_POLL_SECONDS,
    NOW,
    SSE_SECONDS,
    Cursor,
    Live,
    LiveMode,
    Offset,
    check_offset_given,
    control_event,
    data_event,
    next_cursor,
    not_modified,
    padded,
    stream_headers,
    tagged,
    unpadded,
    up_to,
)
from ci_server.apis.native.routes import Api
from ci_server.http.guards import Reader, stream_slot
from ci_server.http.streaming import event_stream, text_stream
from ci_server.streams.log_stream import LogStreams

MEDIA_TYPE = "application/octet-stream"
MOST_BYTES = 256 << 10
"""Of one answer. Clients do not resume one that is cut, so a link that breaks now and then has to
carry a whole one.
"""

_MOST = 2**63

router = APIRouter(include_in_schema=False)


def _parse(streams: LogStreams, job: Job, offset: str | None) -> int:
    """Raises InvalidOffsetError."""
    if offset is None or offset == BEGINNING:
        return 0
    if offset == NOW:
        return streams.size(job)
    position = unpadded(offset)
    if position is None:
        raise InvalidOffsetError(
            f"{quoted(offset)} is not an offset of this stream: {BEGINNING}, {NOW} or what "
            "Stream-Next-Offset had"
        )
    if position >= _MOST:
        raise InvalidOffsetError(f"{quoted(offset)} is too large for an offset")
    streams.check_offset(job, position)
    return position


@router.head("/streams/jobs/{job_id}/log")
async def head_log(job_id: str, api: Api, principal: Reader) -> Response:
    """Where the log ends now, and whether that is its end."""
    job = await api.service.open_log(principal, job_id)
    size = api.streams.size(job)
    headers = stream_headers(padded(size), up_to_date=False, closed=job.log_size is not None)
    return Response(headers=headers, media_type=MEDIA_TYPE)


@router.get("/streams/jobs/{job_id}/log")
async def read_log(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    offset: Offset = None,
    live: LiveMode = None,
    cursor: Cursor = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The log from `offset` on: what is there, or what comes next."""
    check_offset_given(offset, live)
    job = await api.service.open_log(principal, job_id)
    start = _parse(api.streams, job, offset)
    stream_slot(request, principal)
    timeout = api.send_timeout_seconds
    if live is Live.SSE:
        api.streams.check_readable(job)
        headers = {"Cache-Control": "private, no-store", "stream-sse-data-encoding": "base64"}
        return event_stream(_events(api.streams, job, start), timeout, headers)
    if live is Live.LONG_POLL and start >= api.streams.size(job):
        return await _next_piece(api.streams, job, start, cursor)
    if offset == NOW:
        return _stored(api.streams, job, start, start, None, timeout, cursor)
    return _stored(api.streams, job, start, start + MOST_BYTES, if_none_match, timeout, cursor)


def _stored(
    streams: LogStreams,
    job: Job,
    start: int,
    most: int,
    known: str | None,
    send_timeout_seconds: float,
    cursor: str | None,
) -> Response:
    size = streams.size(job)
    end = max(start, min(size, most))
    closed = job.log_size is not None and end >= job.log_size
    if end > start:
        streams.check_stored(job, end)
    headers = tagged(
        f"{job.job_id}:{start}:{end}" + (":closed" if closed else ""),
        stream_headers(
            padded(end), up_to_date=end >= size, closed=closed, cursor=next_cursor(cursor)
        ),
    )
    if answer := not_modified(known, headers):
        return answer

    async def body() -> AsyncIterator[bytes]:
        position = start
        while position < end and (content := streams.read(job, position, end)):
            yield content
            position += len(content)

    headers["Content-Length"] = str(end - start)
    return text_stream(body(), send_timeout_seconds, headers=headers, media_type=MEDIA_TYPE)


async def _next_piece(streams: LogStreams, job: Job, start: int, cursor: str | None) -> Response:
    """What comes next, as soon as it is there; 204 when nothing has come in time, or will."""
    given = next_cursor(cursor)
    try:
        async with (
            asyncio.timeout(LONG_POLL_SECONDS),
            aclosing(streams.events(job, start)) as events,
        ):
            async for event in events:
                if isinstance(event, LogEvent):
                    end = event.end_offset
                    headers = stream_headers(padded(end), up_to_date=False, cursor=given)
                    headers = tagged(f"{job.job_id}:{start}:{end}", headers)
                    return Response(event.content, headers=headers, media_type=MEDIA_TYPE)
                if isinstance(event, CompleteEvent):
                    closed = event.job.log_size is not None and start >= event.job.log_size
                    return _nothing(start, given, closed=closed)
    except TimeoutError:
        pass
    return _nothing(start, given, closed=False)


def _nothing(start: int, cursor: str, *, closed: bool) -> Response:
    headers = stream_headers(padded(start), up_to_date=True, closed=closed, cursor=cursor)
    return Response(status_code=204, headers=headers)


async def _events(streams: LogStreams, job: Job, start: int) -> AsyncGenerator[bytes, None]:
    """Until the log's end, or for a while."""
    position, size = start, streams.size(job)
    if position >= size and job.log_size is None:
        yield control_event(padded(position), up_to_date=True)
    async with aclosing(up_to(SSE_SECONDS, streams.events(job, position))) as events:
        async for event in events:
            if isinstance(event, LogEvent):
                position = event.end_offset
                up_to_date = position >= streams.size(job)
                yield data_event(event.content)
                yield control_event(padded(position), up_to_date=up_to_date)
            elif isinstance(event, CompleteEvent):
                closed = event.job.log_size is not None and position >= event.job.log_size
                if closed:
                    yield control_event(padded(position), up_to_date=True, closed=True)
