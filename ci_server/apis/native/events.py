"""The native HTTP API: a live stream of job events."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from ci_common.errors import EventsGoneError, StorageUnavailableError
from ci_common.job_event_wire import job_event_json
from ci_common.job_events import EventCursor, JobEventKind
from ci_common.ports.events import EventBatch
from ci_common.principal import Principal
from ci_server.apis.native.openapi import STREAM_ANSWER
from ci_server.apis.native.routes import Api, NativeApi
from ci_server.apis.native.sse import RETRY_FIELD, encode
from ci_server.http.guards import Lister, stream_slot
from ci_server.http.query import query_error
from ci_server.http.streaming import event_stream

LONGEST_SECONDS = 600.0
"""A stream ends after this, and its client reconnects, so that one whose key was revoked or whose
role was changed does not keep reading.
"""

router = APIRouter()


@router.get("/events", **STREAM_ANSWER)
async def stream_events(
    request: Request,
    api: Api,
    principal: Lister,
    kind: Annotated[list[JobEventKind], Query()] = (),  # type: ignore[assignment]
    mine: bool = False,
    after: str | None = None,
    stored: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream the events of all jobs that the caller may list: from now on, or after the event whose
    id is in `after` or `Last-Event-ID`, or, with `stored`, from the oldest stored event. `kind`
    may be repeated.
    """
    if stored and after is not None:
        raise query_error("stored", "cannot be combined with after")
    cursor = await api.events.begin(last_event_id or after, all_stored=stored)
    stream_slot(request, principal)
    body = _encoded(api, principal, cursor, kinds=frozenset(kind or JobEventKind), mine=mine)
    return event_stream(body, api.send_timeout_seconds)


async def _encoded(
    api: NativeApi,
    principal: Principal,
    cursor: EventCursor,
    *,
    kinds: Collection[JobEventKind],
    mine: bool,
) -> AsyncGenerator[bytes, None]:
    yield RETRY_FIELD + encode({"type": "begin"}, str(cursor))
    end = asyncio.get_running_loop().time() + LONGEST_SECONDS
    while True:
        try:
            async with aclosing(api.events.follow(principal, cursor, mine=mine)) as batches:
                while True:
                    async with asyncio.timeout_at(end):
                        batch = await anext(batches)
                    cursor = batch.cursor
                    if encoded := _encode_batch(batch, kinds):
                        yield encoded
        except EventsGoneError as error:
            cursor = error.resume
            yield encode({"type": "gone"}, str(cursor))
        except (TimeoutError, StorageUnavailableError):
            # Not the end: the reader comes back, and is told, or goes on. From here: what it did
            # not want, or may not see, is not to be read again each time, and may be gone by then.
            yield b"id: %s\n\n" % str(cursor).encode("ascii")
            return


def _encode_batch(batch: EventBatch, kinds: Collection[JobEventKind]) -> bytes:
    stream, reported = batch.cursor.stream, batch.cursor.reported
    return b"".join(
        encode(job_event_json(event), str(EventCursor(stream, event.seq, reported)))
        for event in batch.events
        if event.kind in kinds
    )
