"""The HTTP API: multipart in, Server-Sent Events, JSON and plain text out."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse
from starlette.requests import ClientDisconnect

from ci_common.errors import InvalidUploadError
from ci_common.job import Job
from ci_common.ports.artifacts import ArtifactReader
from ci_common.principal import Principal
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.apis.native.openapi import (
    STREAM_ANSWER,
    SUBMISSION,
    TEXT_ANSWER,
    WATCH_ANSWER,
)
from ci_server.apis.native.present import (
    job_json,
    limits_json,
    single_job_json,
    submitted_json,
)
from ci_server.apis.native.sse import (
    LogEventCache,
    StreamOverError,
    encoded_events,
    place_in_stream,
)
from ci_server.apis.native.submitted import (
    FIELDS,
    FORM,
    SECRETS_FIELD,
    SPEC_FIELD,
    read_submitted_request,
    read_submitted_secrets,
)
from ci_server.http.byte_range import followed_log, offset_in_log, ranged_log
from ci_server.http.client_gone import client_gone
from ci_server.http.guards import Canceller, Reader, Submitter, stream_slot
from ci_server.http.multipart import UploadForm
from ci_server.http.query import decimal, query_error
from ci_server.http.streaming import event_stream
from ci_server.services.grants import Grants
from ci_server.services.intake import Intake
from ci_server.services.job_details import JobDetailService
from ci_server.services.job_events import JobEventService
from ci_server.services.jobs import JobService
from ci_server.services.previews import Previews
from ci_server.services.readiness import Readiness
from ci_server.services.reruns import RerunService
from ci_server.streams.log_positions import LogPositions
from ci_server.streams.log_search import LogSearches
from ci_server.streams.log_stream import LogStreams
from ci_server.streams.timed_events import TimedEvents

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NativeApi:
    """What the routes need."""

    intake: Intake
    service: JobService
    events: JobEventService
    readiness: Readiness
    streams: LogStreams
    cache: LogEventCache
    artifacts: ArtifactReader
    grants: Grants
    send_timeout_seconds: float
    public_url: str | None
    proxies: TrustedProxies
    reruns: RerunService
    positions: LogPositions
    searches: LogSearches
    previews: Previews
    default_image: str | None
    timed: TimedEvents
    details: JobDetailService


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
        async with api.intake.upload(principal, client_gone(request)) as upload:
            form = UploadForm(FORM, request.headers, api.intake.limits.max_upload_bytes)
            await upload.receive(request.stream(), form)
            wanted = read_submitted_request(form.text(SPEC_FIELD) or b"")
            secrets = read_submitted_secrets(form.text(SECRETS_FIELD) or b"")
            return await upload.submit(wanted, secrets)
    except ClientDisconnect:
        raise InvalidUploadError(
            "the connection was closed before the upload was complete"
        ) from None


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


@router.get("/jobs/{job_id}")
async def get_job(job_id: str, api: Api, principal: Reader) -> dict[str, Any]:
    """One job."""
    job, used = await api.details.resources(principal, job_id)
    return single_job_json(job, await api.streams.waiting(job), used, api.default_image)


@router.delete("/jobs/{job_id}", status_code=202)
@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: str, api: Api, principal: Canceller) -> dict[str, Any]:
    """Ask for the end of a job. Its stream tells when it has ended."""
    return job_json(await api.service.cancel(principal, job_id))


@router.get("/jobs/{job_id}/stream", **WATCH_ANSWER)
async def stream_job(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    from_beginning: bool = False,
    timestamps: bool = False,
    offset: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Watch a job. `Last-Event-ID` or `offset` resume after that byte of the log; a reader that has
    seen `complete` gets 204, which ends an `EventSource`. `timestamps` adds `time` events.
    """
    job = await api.service.open_log(principal, job_id)
    try:
        start = place_in_stream(api.streams, job, last_event_id, offset)
    except StreamOverError:
        return Response(status_code=204)
    if start is None:
        start = 0 if from_beginning else api.streams.size(job)
    api.streams.check_readable(job)
    stream_slot(request, principal)
    events = api.streams.events(job, start, with_waiting=True)
    timed = api.timed.events(job, events) if timestamps else events
    body = encoded_events(job.job_id, timed, api.cache, start)
    return event_stream(body, api.send_timeout_seconds)


@router.get("/jobs/{job_id}/logs", **TEXT_ANSWER)
async def get_logs(
    request: Request,
    job_id: str,
    api: Api,
    principal: Reader,
    tail: Annotated[int | None, decimal, Query(ge=0)] = None,
    offset: str | None = None,
    follow: bool = False,
) -> Response:
    """The raw log, or what of it follows `offset`, or its last `tail` lines, as far as it is
    written or, with `follow`, on until the end; and a `Range` of that.
    """
    job = await api.service.open_log(principal, job_id)
    start = offset_in_log(api.streams, job, offset) if offset is not None else 0
    stream_slot(request, principal)
    if tail is not None:
        if offset is not None:
            raise query_error("tail", "cannot be combined with offset")
        start = await asyncio.to_thread(api.streams.tail_offset, job, tail)
    wanted = request.headers.get("range")
    if follow and job.log_size is None:
        api.streams.check_stored(job)
        return followed_log(api.streams, job, start, wanted, api.send_timeout_seconds)
    return ranged_log(api.streams, job, start, wanted, api.send_timeout_seconds)
