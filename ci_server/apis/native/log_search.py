"""The HTTP API: search in the log of a job."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from ci_common.errors import StorageUnavailableError
from ci_server.apis.native.openapi import SEARCH_ANSWER
from ci_server.apis.native.present_logs import search_event_json
from ci_server.apis.native.routes import Api
from ci_server.apis.native.sse import RETRY_FIELD, encode, parse_event_id
from ci_server.http.guards import Reader, stream_slot
from ci_server.http.query import decimal
from ci_server.http.streaming import event_stream
from ci_server.streams.log_search import MOST_HITS, SearchEnd, SearchEvent, TimedHit
from ci_server.streams.search_term import SearchTerm

router = APIRouter()


@router.get("/jobs/{job_id}/logs/search", **SEARCH_ANSWER)
async def search_log(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    q: str = "",
    exact_case: bool = False,
    offset: Annotated[int, decimal, Query(ge=0)] = 0,
    limit: Annotated[int, decimal, Query(ge=1, le=MOST_HITS)] = MOST_HITS,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Find a text in what there is of the log now: `hit` events as they are found, then `end`.
    `offset`, or `Last-Event-ID`, goes on after that byte; a reader that has seen `end` gets 204.
    """
    job = await api.service.open_log(principal, job_id)
    term = SearchTerm(q, exact_case=exact_case)
    if last_event_id:
        offset, is_over = parse_event_id(last_event_id)
        if is_over:
            return Response(status_code=204)
    api.streams.check_offset(job, offset)
    api.streams.check_stored(job)
    stream_slot(request, principal)
    search = await api.searches.begin(job, term, offset, limit)
    return event_stream(_encoded(api.searches.events(search)), api.send_timeout_seconds)


async def _encoded(events: AsyncGenerator[SearchEvent, None]) -> AsyncGenerator[bytes, None]:
    retry = RETRY_FIELD
    async with aclosing(events):
        try:
            async for event in events:
                yield retry + _encode(event)
                retry = b""
        except StorageUnavailableError:
            return  # not the end: a reader that comes back is told, or goes on


def _encode(event: SearchEvent) -> bytes:
    reached = None
    if isinstance(event, TimedHit):
        reached = str(event.hit.offset + event.hit.length)
    elif isinstance(event, SearchEnd):
        reached = f"{event.offset}:complete"
    return encode(search_event_json(event), reached)
