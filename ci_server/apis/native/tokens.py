"""The HTTP API: tokens that let a browser watch one job."""

from fastapi import APIRouter, Response

from ci_server.apis.native.present import token_json
from ci_server.apis.native.routes import Api
from ci_server.http.guards import TokenIssuer

router = APIRouter()


@router.post("/jobs/{job_id}/token")
async def issue_token(
    job_id: str, response: Response, api: Api, principal: TokenIssuer
) -> dict[str, str | None]:
    """A token for `?token=` of this job's `GET` requests, for a short time."""
    token = await api.service.issue_token(principal, job_id)
    response.headers["Cache-Control"] = "no-store"
    return token_json(token)
