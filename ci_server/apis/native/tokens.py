"""The native HTTP dialect: tokens that let a browser watch one job."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ci_common.job import format_time
from ci_server.access.auth.stream_tokens import StreamTokens
from ci_server.apis.native.routes import Api
from ci_server.http.guards import Lender


async def _stream_tokens(request: Request) -> StreamTokens:
    tokens: StreamTokens = request.app.state.stream_tokens
    return tokens


Tokens = Annotated[StreamTokens, Depends(_stream_tokens)]

router = APIRouter()


@router.post("/jobs/{job_id}/token")
async def give_token(
    job_id: str, response: Response, api: Api, tokens: Tokens, principal: Lender
) -> dict[str, str | None]:
    """A token for `?token=` of this job's `GET` requests, for a short time."""
    job = await api.service.lend(principal, job_id)
    given = tokens.give(principal, job.job_id)
    response.headers["Cache-Control"] = "no-store"
    return {"token": given.token, "expires_at": format_time(given.expires_at)}
