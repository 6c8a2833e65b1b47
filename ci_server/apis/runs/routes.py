"""The runs API over HTTP."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from ci_common.errors import RunNotCompletedError
from ci_common.ports.runs import RunPage
from ci_common.run import RunStatus
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.apis.native.openapi import WATCH_ANSWER
from ci_server.apis.native.sse import (
    LogEventCache,
    StreamOverError,
    encoded_events,
    place_in_stream,
)
from ci_server.apis.runs.present import (
    encode_item,
    encode_page,
    encode_progress,
    result_json,
    status_json,
)
from ci_server.apis.runs.submitted import SubmittedRun, config_of
from ci_server.http.artifact_urls import artifact_urls
from ci_server.http.guards import Canceller, Lister, Reader, Submitter, stream_slot
from ci_server.http.json_body import json_request, read_json_body
from ci_server.http.public_url import public_url
from ci_server.http.query import decimal
from ci_server.http.streaming import event_stream
from ci_server.services.grants import Grants
from ci_server.services.jobs import JobService
from ci_server.services.run_results import RunEnd, RunResults
from ci_server.services.runs import RunService
from ci_server.streams.log_stream import LogStreams
from ci_server.streams.progress_events import events_with_progress

_MOST_PAGES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunsApi:
    """What the routes need."""

    runs: RunService
    results: RunResults
    jobs: JobService
    streams: LogStreams
    cache: LogEventCache
    grants: Grants
    public_url: str | None
    proxies: TrustedProxies
    body_patience_seconds: float
    send_timeout_seconds: float


async def _runs_api(request: Request) -> RunsApi:
    api: RunsApi = request.app.state.runs_api
    return api


Api = Annotated[RunsApi, Depends(_runs_api)]

router = APIRouter(prefix="/api/v1/runs")


@router.post("", openapi_extra=json_request(SubmittedRun))
async def submit_run(request: Request, api: Api, principal: Submitter) -> dict[str, Any]:
    """Submit a run."""
    asked = await read_json_body(request, SubmittedRun, api.body_patience_seconds)
    return status_json(await api.runs.submit(principal, config_of(asked)), RunEnd())


@router.get("", response_model=dict[str, Any])
async def list_runs(
    api: Api,
    principal: Lister,
    page: Annotated[int, decimal, Query(ge=1, le=_MOST_PAGES)] = 1,
    page_size: Annotated[int, decimal, Query(ge=1, le=100)] = 20,
    status: RunStatus | None = None,
) -> Response:
    """Runs, newest first."""
    wanted = RunPage((page - 1) * page_size, page_size, status)
    runs, total = await api.runs.page(principal, wanted)
    shown: list[bytes] = []
    for run in runs:  # each may have 100 KiB, and others get their turn between them
        shown.append(encode_item(run, await api.results.end(run)))
        await asyncio.sleep(0)
    content = encode_page(shown, total, page, page_size)
    return Response(content, media_type="application/json")


@router.get("/{run_id}")
async def get_run(run_id: str, api: Api, principal: Reader) -> dict[str, Any]:
    """Where a run stands."""
    run = await api.runs.get(principal, run_id)
    return status_json(run, await api.results.end(run))


@router.get("/{run_id}/result")
async def get_result(request: Request, run_id: str, api: Api, principal: Reader) -> dict[str, Any]:
    """The result of a completed run, with signed URLs of its files."""
    base = public_url(request, api.public_url, api.proxies)
    run = await api.runs.get(principal, run_id)
    if run.status is not RunStatus.COMPLETED:
        raise RunNotCompletedError
    urls = artifact_urls(api.grants, principal, base, run.job.job_id)
    return result_json(run, await api.results.whole_end(run), urls)


@router.post("/{run_id}/cancel")
async def cancel_run(run_id: str, api: Api, principal: Canceller) -> dict[str, Any]:
    """Ask for the end of a run."""
    await api.runs.cancel(principal, run_id)
    return {"status": RunStatus.CANCELLED.value}


@router.get("/{run_id}/stream", **WATCH_ANSWER)
async def stream_run(
    request: Request,
    run_id: str,
    api: Api,
    principal: Reader,
    offset: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Watch a run from its beginning: the events of its job, and its progress among them.
    `Last-Event-ID` and `offset` are those of the job's stream.
    """
    run = await api.runs.get(principal, run_id)
    job = await api.jobs.open_log(principal, run.job.job_id)
    try:
        start = place_in_stream(api.streams, job, last_event_id, offset) or 0
    except StreamOverError:
        return Response(status_code=204)
    api.streams.check_readable(job)
    stream_slot(request, principal)
    body = encoded_events(
        job.job_id,
        events_with_progress(api.streams, job, start),
        api.cache,
        start,
        encode_progress=encode_progress,
    )
    return event_stream(body, api.send_timeout_seconds)
