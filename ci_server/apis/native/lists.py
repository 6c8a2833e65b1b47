"""The HTTP API: lists of jobs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from ci_common.job import JobStatus, Reason
from ci_common.labels import MOST_LABELS, read_label
from ci_common.ports.rows import JobQuery, JobSort, JobState
from ci_server.apis.native.present import listed_job_json
from ci_server.apis.native.routes import Api
from ci_server.http.guards import TOKEN_PARAMETER, Lister
from ci_server.http.public_url import public_url
from ci_server.http.query import decimal, moment, query_error

NEXT_CURSOR_HEADER, TOTAL_HEADER = "X-Next-Cursor", "X-Total-Count"
_LONGEST = 256
_MOST_WORDS = 10
_MOST_IDS = 100


class JobOutcome(StrEnum):
    """What became of a job, as people ask for it."""

    PASSED = "passed"
    FAILED = "failed"
    """Its command exited with another code than 0, or did not get to its own end."""
    CANCELLED = "cancelled"
    RUNNING = "running"
    QUEUED = "queued"


_STATES = {
    JobOutcome.PASSED: (JobState(JobStatus.COMPLETED, success=True),),
    JobOutcome.FAILED: (JobState(JobStatus.FAILED), JobState(JobStatus.COMPLETED, success=False)),
    JobOutcome.CANCELLED: (JobState(JobStatus.CANCELLED),),
    JobOutcome.RUNNING: (JobState(JobStatus.INITIALIZING), JobState(JobStatus.RUNNING)),
    JobOutcome.QUEUED: (JobState(JobStatus.QUEUED),),
}


class Order(StrEnum):
    """What orders a list. With `-`, the largest are first."""

    NEWEST = "-submitted"
    OLDEST = "submitted"
    LAST_ENDED = "-ended"
    FIRST_ENDED = "ended"
    LONGEST = "-duration"
    SHORTEST = "duration"


_Text = Annotated[str | None, Query(min_length=1, max_length=_LONGEST)]
_Time = Annotated[datetime | None, moment]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs are asked for: those for which all that is given holds."""

    status: JobStatus | None = None
    outcome: JobOutcome | None = None
    user: _Text = None
    name: _Text = None
    label: Annotated[list[str], Query()] = ()  # type: ignore[assignment]
    id: Annotated[list[str], Query()] = ()  # type: ignore[assignment]
    since: _Time = None
    until: _Time = None
    q: _Text = None
    reason: Reason | None = None
    sort: Order = Order.NEWEST

    def query(self, limit: int, cursor: str | None) -> JobQuery:
        """Raises RequestValidationError."""
        if self.q is not None and not 0 < len(self.q.split()) <= _MOST_WORDS:
            raise query_error("q", f"must have 1 to {_MOST_WORDS} words")
        if len(self.id) > _MOST_IDS:
            raise query_error("id", f"must not be given more than {_MOST_IDS} times")
        return JobQuery(
            states=self._states(),
            limit=limit,
            before=cursor,
            user=self.user,
            name=self.name,
            reason=self.reason and self.reason.value,
            labels=self._labels(),
            ids=tuple(self.id) or None,
            since=self.since,
            until=self.until,
            text=self.q,
            sort=JobSort(self.sort.removeprefix("-")),
            descending=self.sort.startswith("-"),
        )

    def _states(self) -> tuple[JobState, ...] | None:
        if self.outcome is None:
            return None if self.status is None else (JobState(self.status),)
        states = _STATES[self.outcome]
        return tuple(state for state in states if self.status in (None, state.status))

    def _labels(self) -> tuple[tuple[str, str], ...]:
        if len(self.label) > MOST_LABELS:
            raise query_error("label", f"must not be given more than {MOST_LABELS} times")
        try:
            return tuple(read_label(text, ":") for text in self.label)
        except ValueError as error:
            raise query_error("label", str(error)) from None


router = APIRouter()


@router.get("/jobs")
async def list_jobs(
    request: Request,
    response: Response,
    api: Api,
    principal: Lister,
    filters: Annotated[Filters, Depends(Filters)],
    mine: bool = False,
    limit: Annotated[int, decimal, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
    total: bool = False,
) -> list[dict[str, Any]]:
    """Jobs, newest first, or in the order of `sort`. `X-Next-Cursor` in the answer is the `cursor`
    of the next page, whose address is in `Link`; `total` asks for `X-Total-Count`.
    """
    query = filters.query(limit + 1, cursor)
    base = public_url(request, api.public_url, api.proxies)
    jobs = await api.service.list_jobs(principal, query, mine=mine)
    if total:
        count = await api.service.count_jobs(principal, query, mine=mine)
        response.headers[TOTAL_HEADER] = str(count)
    if len(jobs) > limit:
        last = jobs[limit - 1].job_id
        response.headers[NEXT_CURSOR_HEADER] = last
        response.headers["Link"] = f'<{base}/jobs?{_next_page(request, last)}>; rel="next"'
    return [listed_job_json(job, await api.streams.waiting(job)) for job in jobs[:limit]]


def _next_page(request: Request, cursor: str) -> str:
    others = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("cursor", TOKEN_PARAMETER)
    ]
    return urlencode([*others, ("cursor", cursor)])
