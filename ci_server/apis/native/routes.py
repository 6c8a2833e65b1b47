"""The native HTTP dialect: multipart in, Server-Sent Events, JSON and plain text out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse
from starlette.requests import ClientDisconnect

from ci_common.errors import (
    InvalidOffsetError,
    InvalidUploadError,
    LogCorruptError,
    quoted,
)
from ci_common.events import CompleteEvent, LogEvent
from ci_common.job import Job, JobStatus
from ci_common.ports.artifacts import ArtifactReader
from ci_common.ports.rows import JobQuery
from ci_common.principal import Principal
from ci_server.apis.native.openapi import STREAM_ANSWER, SUBMISSION, TEXT_ANSWER
from ci_server.apis.native.present import job_json, limits_json, listed_job_json, submitted_json
from ci_server.apis.native.sse import LogEventCache, encoded_events
from ci_server.apis.native.submitted import FIELDS, read_submitted_request, read_submitted_secrets
from ci_server.http.byte_range import ranged_log
from ci_server.http.guards import (
    Canceller,
    Lister,
    Reader,
    Submitter,
    public,
    rate_limited,
    stream_slot,
)
from ci_server.http.multipart import UploadForm
from ci_server.http.query import decimal
from ci_server.http.streaming import event_stream, text_stream
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.services.readiness import Readiness
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

NEXT_CURSOR_HEADER = "X-Next-Cursor"


@dataclass(frozen=True, slots=True)
class NativeApi:
    """What the routes need."""

    intake: Intake
    service: JobService
    readiness: Readiness
    streams: LogStreams
    cache: LogEventCache
    artifacts: ArtifactReader
    send_timeout_seconds: float


async def _native_api(request: Request) -> NativeApi:
    api: NativeApi = request.app.state.native_api
    return api


Api = Annotated[NativeApi, Depends(_native_api)]

router = APIRouter()


@router.post("/submit", **STREAM_ANSWER, openapi_extra=SUBMISSION)
async def submit(request: Request, api: Api, principal: Submitter) -> Response:
    """Submit a zip (multipart part `file`) and watch: `log` events, then `complete`."""
    stream_slot(request, principal)
    return _submission_stream(api, await _accept(request, api, principal), with_job_id=False)


@router.post("/submit-stream", **STREAM_ANSWER, openapi_extra=SUBMISSION)
async def submit_stream(request: Request, api: Api, principal: Submitter) -> Response:
    """The same, with a `job_id` event first."""
    stream_slot(request, principal)
    return _submission_stream(api, await _accept(request, api, principal), with_job_id=True)


@router.post("/submit-async", openapi_extra=SUBMISSION)
async def submit_async(request: Request, api: Api, principal: Submitter) -> dict[str, str]:
    """Submit a zip and come back for it later."""
    return submitted_json(await _accept(request, api, principal))


@router.get("/limits")
async def get_limits(api: Api, principal: Submitter) -> dict[str, Any]:
    """What a submission may be, to be asked before a project is packed."""
    return limits_json(api.intake.limits, FIELDS)


async def _accept(request: Request, api: NativeApi, principal: Principal) -> Job:
    """Receive the form and queue the job. Its other parts may come after the file."""
    try:
        async with api.intake.upload(principal) as upload:
            form = UploadForm(request.headers, api.intake.limits.max_upload_bytes)
            await upload.receive(request.stream(), form)
            wanted = read_submitted_request(form.spec)
            return await upload.submit(wanted, read_submitted_secrets(form.secrets))
    except ClientDisconnect:
        raise InvalidUploadError("the connection was closed before the upload was whole") from None


def _submission_stream(api: NativeApi, job: Job, *, with_job_id: bool) -> EventSourceResponse:
    body = encoded_events(
        job.job_id,
        api.streams.events(job, 0),
        api.cache,
        0,
        with_job_id=with_job_id,
        with_status=False,
    )
    return event_stream(body, api.send_timeout_seconds)


@router.get("/jobs")
async def list_jobs(
    response: Response,
    api: Api,
    principal: Lister,
    status: JobStatus | None = None,
    limit: Annotated[int, decimal, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> list[dict[str, Any]]:
    """Jobs, newest first. `X-Next-Cursor` in the answer is the `cursor` of the next page."""
    jobs = await api.service.list_jobs(principal, JobQuery(status, limit + 1, cursor))
    if len(jobs) > limit:
        response.headers[NEXT_CURSOR_HEADER] = jobs[limit - 1].job_id
    return [listed_job_json(job) for job in jobs[:limit]]


@router.get("/jobs/{job_id}")
async def get_job(job_id: str, api: Api, principal: Reader) -> dict[str, Any]:
    """One job."""
    return job_json(await api.service.get(principal, job_id))


@router.delete("/jobs/{job_id}", status_code=202)
@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: str, api: Api, principal: Canceller) -> dict[str, Any]:
    """Ask for the end of a job. Its stream tells when it has ended."""
    return job_json(await api.service.cancel(principal, job_id))


@router.get("/jobs/{job_id}/stream", **STREAM_ANSWER)
async def stream_job(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    from_beginning: bool = False,
    offset: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """Watch a job. `Last-Event-ID` or `offset` resume after that byte of the log."""
    job = await api.service.open_log(principal, job_id)
    api.streams.check_readable(job)
    start = _start_offset(api, job, last_event_id, offset, from_beginning)
    stream_slot(request, principal)
    body = encoded_events(job_id, api.streams.events(job, start), api.cache, start)
    return event_stream(body, api.send_timeout_seconds)


@router.get("/jobs/{job_id}/logs", **TEXT_ANSWER)
async def get_logs(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    tail: Annotated[int | None, decimal, Query(ge=0)] = None,
    follow: bool = False,
) -> Response:
    """The raw log: the last `tail` lines or all, a `Range` of it, or on until the end."""
    job = await api.service.open_log(principal, job_id)
    stream_slot(request, principal)
    if follow:
        api.streams.check_stored(job)
    start = 0 if tail is None else await asyncio.to_thread(api.streams.tail_offset, job, tail)
    if follow:
        return text_stream(_raw_log(api, job, start), api.send_timeout_seconds)
    wanted = request.headers.get("range")
    return ranged_log(api.streams, job, start, wanted, api.send_timeout_seconds)


def _start_offset(
    api: NativeApi, job: Job, last_event_id: str | None, offset: str | None, from_beginning: bool
) -> int:
    if last_event_id:
        # One that we sent is right even when the log ends before it: after a power cut the job
        # may have ended with a shorter log, and the reader still needs the result.
        return _parsed_offset(last_event_id)
    if offset:
        api.streams.check_offset(job, _parsed_offset(offset))
        return int(offset)
    return 0 if from_beginning else api.streams.size(job)


def _parsed_offset(wanted: str) -> int:
    if not wanted.isascii() or not wanted.isdecimal() or len(wanted) > 18:
        raise InvalidOffsetError(f"{quoted(wanted)} is not an offset: a whole number of bytes")
    return int(wanted)


async def _raw_log(api: NativeApi, job: Job, start: int) -> AsyncIterator[bytes]:
    """Plain text has no result: an end that is not the log's must be seen as a broken answer."""
    position, size = start, None
    async with aclosing(api.streams.events(job, start)) as events:
        async for event in events:
            if isinstance(event, LogEvent):
                position = event.end_offset
                yield event.content
            elif isinstance(event, CompleteEvent):
                size = event.job.log_size
    if size is None or position < size:
        raise LogCorruptError(f"job {job.job_id}: its log cannot be read from byte {position} on")


@router.get("/health", dependencies=[Depends(public)])
async def health() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "ok"}


@router.get("/ready", dependencies=[Depends(public), Depends(rate_limited)])
async def ready(api: Api) -> dict[str, str]:
    """Whether jobs submitted now would run; 503 with the reasons otherwise."""
    await api.readiness.check()
    return {"status": "ready"}
