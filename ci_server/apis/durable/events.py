"""The events of all jobs that a caller may list, as a stream of JSON messages."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from ci_common.errors import (
    EventsGoneError,
    InvalidEventCursorError,
    StorageUnavailableError,
)
from ci_common.job_event_wire import job_event_json
from ci_common.job_events import EventCursor
from ci_common.ports.events import EventBatch
from ci_common.principal import Principal
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
    json_event,
    next_cursor,
    not_modified,
    padded,
    stream_headers,
    tagged,
    unpadded,
    up_to,
)
from ci_server.apis.native.routes import Api
from ci_server.http.guards import Lister, stream_slot
from ci_server.http.streaming import event_stream
from ci_server.services.job_events import JobEventService
from ci_server.streams.event_feed import MOST_EVENTS

router = APIRouter(include_in_schema=False)


def offset_text(cursor: EventCursor) -> str:
    """A cursor as an offset of the protocol: the number of the last event, so that offsets sort as
    text, then what tells a restored backup, and what was told of removals, from others.
    """
    stream, seq, *reported = str(cursor).split(".")
    return "_".join((padded(int(seq)), stream, *reported))


async def _parse(events: JobEventService, offset: str | None) -> EventCursor:
    """Raises InvalidEventCursorError, StorageUnavailableError."""
    if offset is None or offset == BEGINNING:
        return await events.begin(None, all_stored=True)
    if offset == NOW:
        return await events.begin(None)
    seq, _, rest = offset.partition("_")
    stream, _, reported = rest.partition("_")
    number = unpadded(seq)
    if number is None:
        raise InvalidEventCursorError
    numbers = (str(number), reported) if reported else (str(number),)
    return await events.begin(".".join((stream, *numbers)))


@router.head("/streams/events")
async def head_events(api: Api, principal: Lister) -> Response:
    """Where the stream ends now. It has no end."""
    cursor = await api.events.begin(None)
    return Response(
        headers=stream_headers(offset_text(cursor), up_to_date=False), media_type="application/json"
    )


@router.get("/streams/events")
async def read_events(
    request: Request,
    api: Api,
    principal: Lister,
    offset: Offset = None,
    live: LiveMode = None,
    cursor: Cursor = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The events after `offset`: those that are stored, or those that come next."""
    check_offset_given(offset, live)
    start = await _parse(api.events, offset)
    stream_slot(request, principal)
    if live is Live.SSE:
        await api.events.page(principal, start, MOST_EVENTS)  # 410 must be an answer, not an end
        body = _events(api.events, principal, start)
        return event_stream(body, api.send_timeout_seconds, {"Cache-Control": "private, no-store"})
    batch = EventBatch((), start)
    if live is Live.LONG_POLL:
        try:
            async with asyncio.timeout(LONG_POLL_SECONDS):
                batch = await _next_batch(api.events, principal, start)
        except TimeoutError:
            headers = stream_headers(
                offset_text(start), up_to_date=True, cursor=next_cursor(cursor)
            )
            return Response(status_code=204, headers=headers)
    elif offset != NOW:
        batch = await api.events.page(principal, start, MOST_EVENTS)
    begin, end = offset_text(start), offset_text(batch.cursor)
    headers = tagged(
        f"{begin}:{end}",
        stream_headers(end, up_to_date=_is_last(batch), cursor=next_cursor(cursor)),
    )
    if answer := not_modified(if_none_match, headers):
        return answer
    return Response(_encoded(batch), headers=headers, media_type="application/json")


async def _next_batch(
    events: JobEventService, principal: Principal, start: EventCursor
) -> EventBatch:
    async with aclosing(events.follow(principal, start)) as batches:
        async for batch in batches:
            if batch.events:
                return batch
    raise AssertionError("a stream of events has no end")


async def _events(
    events: JobEventService, principal: Principal, start: EventCursor
) -> AsyncGenerator[bytes, None]:
    yield control_event(offset_text(start), up_to_date=False)
    try:
        async with aclosing(up_to(SSE_SECONDS, events.follow(principal, start))) as batches:
            async for batch in batches:
                if batch.events:
                    yield json_event(_encoded(batch))
                yield control_event(offset_text(batch.cursor), up_to_date=_is_last(batch))
    except (EventsGoneError, StorageUnavailableError):
        return  # the client reconnects, and is told


def _is_last(batch: EventBatch) -> bool:
    return len(batch.events) < MOST_EVENTS


def _encoded(batch: EventBatch) -> str:
    return json.dumps([job_event_json(event) for event in batch.events], separators=(",", ":"))
