"""`/session`: sign in with an API key, who is signed in, sign out."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ci_common.errors import (
    ForbiddenError,
    InvalidCredentialsError,
    RunnerError,
    UnauthenticatedError,
)
from ci_common.identities import TOKEN_MARK
from ci_common.job import format_time
from ci_common.principal import Principal
from ci_server.access.auth.credentials import Credentials
from ci_server.apis.native.present import caller_json
from ci_server.apis.sessions.api import Api, Control, SessionsApi, browser_of, with_key
from ci_server.http.guards import AccessControl, public, rate_limited
from ci_server.http.json_body import json_request, read_json_body

router = APIRouter(prefix="/session", dependencies=[Depends(public)])

_MOST_BODY_BYTES = 4 << 10


class SignIn(BaseModel):
    """What a browser signs in with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    api_key: str = Field(min_length=1, max_length=1000)
    """An API key."""


@router.post("", openapi_extra=json_request(SignIn))
async def sign_in(request: Request, api: Api, control: Control) -> Response:
    """A session for a browser, in a cookie, that stands for an API key."""
    credentials = control.credentials_of(request)
    api.own_origin.check_page(credentials)
    body = await read_json_body(request, SignIn, api.request_timeout_seconds, _MOST_BODY_BYTES)
    key = body.api_key.strip()
    if not key.startswith(TOKEN_MARK):
        raise InvalidCredentialsError(
            f"this is not an API key: keys begin with {TOKEN_MARK}; create one with "
            "`ci-admin key create`"
        )
    await control.identify(with_key(credentials, key))
    before = await _signed_in(control, credentials)
    signed_in = await api.service.sign_in_with_key(key, browser_of(request, credentials))
    if before is not None:
        await api.service.sign_out(before)
    response = JSONResponse(await _session_json(api, control, signed_in.principal))
    api.keep(response, control, credentials, signed_in)
    return response


@router.get("")
async def get_session(request: Request, api: Api, control: Control) -> dict[str, Any]:
    """Who is asking, by whatever credentials, and how one can sign in; for everybody."""
    try:
        principal = await control.identify(control.credentials_of(request))
    except (UnauthenticatedError, ForbiddenError) as error:
        return await _session_json(api, control, None, error)
    return await _session_json(api, control, principal)


@router.delete("", status_code=204, dependencies=[Depends(rate_limited)])
async def sign_out(request: Request, api: Api, control: Control) -> Response:
    """End the session whose cookie this request has; nothing if there is none."""
    credentials = control.credentials_of(request)
    api.own_origin.check_page(credentials)
    if principal := await _signed_in(control, credentials):
        await api.service.sign_out(principal)
    response = Response(status_code=204)
    api.forget(response, credentials)
    return response


async def _signed_in(control: AccessControl, credentials: Credentials) -> Principal | None:
    """Who has the session of this request's cookie, if it is live. Raises CrossOriginError."""
    try:
        principal = await control.authenticator.authenticate(credentials)
    except UnauthenticatedError:
        return None
    return principal if principal.session is not None else None


async def _session_json(
    api: SessionsApi,
    control: AccessControl,
    principal: Principal | None,
    error: RunnerError | None = None,
) -> dict[str, Any]:
    session = principal and principal.session
    return {
        **(caller_json(principal) if principal else {"user": None}),
        "session": session and {"id": session.session_id, "ends_at": format_time(session.ends_at)},
        "error": error and {"code": error.code, "message": error.message},
        "sign_in": {
            "api_key": await control.authenticator.has_identities(),
            "oidc": api.oidc and {"name": api.oidc.name},
        },
    }
