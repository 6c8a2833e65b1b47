"""The model-job API over HTTP."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.requests import ClientDisconnect

from ci_common.errors import InvalidUploadError
from ci_common.job import Door, Job, utc_now
from ci_common.model_manifest import MODEL_PACKAGE_BYTES
from ci_common.ports.rows import JobQuery
from ci_common.principal import Principal
from ci_common.waiting import JobSlots
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.apis.models.form import FORM, complete, read_form
from ci_server.apis.models.openapi import SUBMISSION
from ci_server.apis.models.present import (
    STATES,
    ModelStatus,
    artifact_json,
    job_json,
    jobs_json,
    submitted_json,
)
from ci_server.http.artifact_urls import artifact_urls
from ci_server.http.client_gone import client_gone
from ci_server.http.guards import TOKEN_PARAMETER, Canceller, Lister, Reader, Submitter
from ci_server.http.multipart import UploadForm
from ci_server.http.public_url import public_url, websocket_url
from ci_server.http.query import decimal
from ci_server.services.grants import Grants
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.services.model_results import ModelResults
from ci_server.services.start_estimate import estimated_start

WATCH_SECONDS = 15 * 60.0
"""Life of the token in `websocketUrl`."""

_MOST_FILES = 1000
_FILES_IN_LISTS = 20
"""How many of a job's files are told, of each job of a list."""


@dataclass(frozen=True, slots=True)
class ModelsApi:
    """What the routes need."""

    intake: Intake
    jobs: JobService
    results: ModelResults
    grants: Grants
    slots: JobSlots
    public_url: str | None
    proxies: TrustedProxies


async def _models_api(request: Request) -> ModelsApi:
    api: ModelsApi = request.app.state.models_api
    return api


Api = Annotated[ModelsApi, Depends(_models_api)]

router = APIRouter(prefix="/v1/jobs")


@router.post("/submit", status_code=HTTPStatus.CREATED, openapi_extra=SUBMISSION)
async def submit_model(request: Request, api: Api, principal: Submitter) -> dict[str, Any]:
    """Submit a model: a zip with a `model.toml` or `livecalc.config.json`."""
    most = min(api.intake.limits.max_upload_bytes, MODEL_PACKAGE_BYTES)
    base = public_url(request, api.public_url, api.proxies)
    try:
        async with api.intake.upload(principal, client_gone(request)) as upload:
            form = UploadForm(FORM, request.headers, most)
            await upload.receive(request.stream(), form, most)
            job = await upload.submit(read_form(form), complete=complete)
    except ClientDisconnect:
        raise InvalidUploadError(
            "the connection was closed before the upload was complete"
        ) from None
    starts_at = estimated_start(await api.jobs.start_outlook(job), api.slots, utc_now())
    return submitted_json(job, await _watch_url(api, principal, job, base), starts_at)


@router.get("")
async def list_model_jobs(
    request: Request,
    api: Api,
    principal: Lister,
    status: ModelStatus | None = None,
    limit: Annotated[int, decimal, Query(ge=1, le=100)] = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Jobs that were submitted here, newest first. `nextCursor` is the `cursor` of the next page.
    The `websocketUrl` of each has no token.
    """
    states = None if status is None else STATES[status]
    query = JobQuery(states, limit + 1, cursor, Door.MODELS)
    base = public_url(request, api.public_url, api.proxies)
    jobs = await api.jobs.list_jobs(principal, query)
    shown = [
        await _shown(api, principal, job, _stream_url(base, job), base, _FILES_IN_LISTS)
        for job in jobs[:limit]
    ]
    return jobs_json(shown, jobs[limit - 1].job_id if len(jobs) > limit else None)


@router.get("/{job_id}")
async def get_model_job(
    request: Request, job_id: str, api: Api, principal: Reader
) -> dict[str, Any]:
    """One job, with its result once it has one."""
    base = public_url(request, api.public_url, api.proxies)
    job = await api.jobs.get(principal, job_id)
    watch_url = await _watch_url(api, principal, job, base)
    return await _shown(api, principal, job, watch_url, base, _MOST_FILES)


@router.delete("/{job_id}", status_code=HTTPStatus.NO_CONTENT)
async def cancel_model_job(
    job_id: str, api: Api, principal: Canceller, force: bool = False
) -> Response:
    """Cancel a queued job; with `force` one that is under way, too."""
    await api.jobs.cancel(principal, job_id, only_queued=not force, tells_of_others=True)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _shown(
    api: ModelsApi, principal: Principal, job: Job, watch_url: str, base: str, most: int
) -> dict[str, Any]:
    result = await api.results.result(job)
    files = await api.results.artifacts(job, most) if result else []
    url_of = artifact_urls(api.grants, principal, base, job.job_id)
    shown = [artifact_json(one, url_of(one.path)) for one in files]
    return job_json(job, watch_url, result, shown, await api.results.failure(job))


async def _watch_url(api: ModelsApi, principal: Principal, job: Job, base: str) -> str:
    """Where the job can be watched, with a token for whoever may give one."""
    url = _stream_url(base, job)
    if not api.jobs.may_issue_token(principal, job):  # of a colleague; or has but such a token
        return url
    token = await api.jobs.issue_token(principal, job.job_id, WATCH_SECONDS)
    return f"{url}?{TOKEN_PARAMETER}={token.token}"


def _stream_url(base: str, job: Job) -> str:
    return f"{websocket_url(base)}/jobs/{job.job_id}/stream"
