"""The HTTP API: where lines are in a log, and when they were received."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from ci_server.apis.native.present_logs import log_position_json, mark_page_json
from ci_server.apis.native.routes import Api
from ci_server.http.guards import Reader
from ci_server.http.query import decimal, moment, query_error
from ci_server.streams.log_positions import MarkQuery

router = APIRouter()

_Offset = Annotated[int, decimal, Query(ge=0)]
_Optional = Annotated[int | None, decimal, Query(ge=0)]


@router.get("/jobs/{job_id}/logs/marks")
async def get_marks(
    job_id: str,
    api: Api,
    principal: Reader,
    offset: _Offset = 0,
    end: _Optional = None,
    since: Annotated[datetime | None, moment] = None,
    every: _Offset = 0,
    limit: Annotated[int, decimal, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """Places in the log with their line numbers and the times at which they were received: the last
    one at or before `offset`, and those after it.
    """
    job = await api.service.get(principal, job_id)
    api.streams.check_stored(job)
    query = MarkQuery(limit, offset, end, since, every)
    return mark_page_json(await api.positions.marks(job, query))


@router.get("/jobs/{job_id}/logs/position")
async def get_position(
    job_id: str,
    api: Api,
    principal: Reader,
    offset: _Optional = None,
    line: Annotated[int | None, decimal, Query(ge=1)] = None,
) -> dict[str, Any]:
    """The line of the byte at `offset`, or the offset of a `line`, exactly."""
    if offset is not None and line is not None:
        raise query_error("line", "cannot be combined with offset")
    job = await api.service.get(principal, job_id)
    api.streams.check_stored(job)
    if line is not None:
        return log_position_json(await api.positions.at_line(job, line))
    return log_position_json(await api.positions.at_offset(job, offset or 0))
