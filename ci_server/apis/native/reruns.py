"""The native HTTP API: rerunning jobs."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from ci_common.secret import Secret
from ci_server.apis.native.present import job_json
from ci_server.apis.native.routes import Api
from ci_server.apis.native.submitted import secrets_in
from ci_server.http.client_gone import client_gone
from ci_server.http.guards import Rerunner
from ci_server.http.json_body import json_request, read_json_body
from ci_server.http.public_url import public_url

router = APIRouter()


class SubmittedRerun(BaseModel):
    """The optional body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    secrets: dict[str, dict[str, Any]] | None = None
    """By name, as in the part `secrets` of a submission."""


_BODY = json_request(SubmittedRerun)
_BODY["requestBody"]["required"] = False


@router.post("/jobs/{job_id}/rerun", status_code=HTTPStatus.CREATED, openapi_extra=_BODY)
async def rerun_job(
    request: Request, response: Response, job_id: str, api: Api, principal: Rerunner
) -> dict[str, Any]:
    """Run a job again, with its package and settings; secrets that were sent with it must be sent
    again, in a JSON object. Returns the new job.
    """
    base = public_url(request, api.public_url, api.proxies)
    secrets = await _secrets(request, api.intake.limits.patience_seconds)
    job = await api.reruns.rerun(principal, job_id, secrets, client_gone(request))
    response.headers["Location"] = f"{base}/jobs/{job.job_id}"
    return job_json(job)


async def _secrets(request: Request, patience_seconds: float) -> list[Secret]:
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return []
    asked = await read_json_body(request, SubmittedRerun, patience_seconds)
    return secrets_in(asked.secrets or {})
