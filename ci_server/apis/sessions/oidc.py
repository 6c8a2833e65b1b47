"""`/session/oidc/…`: a browser on its way to an OpenID Connect issuer, and back."""

from html import escape
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from ci_common.errors import ForbiddenError, InvalidCredentialsError, RunnerError
from ci_server.access.oidc.attempt import LASTS
from ci_server.access.oidc.login import Returned
from ci_server.apis.sessions.api import Api, Control, OidcApi, browser_of
from ci_server.http.errors import STATUS_OF_CODE
from ci_server.http.guards import public, rate_limited
from ci_server.http.public_url import public_url
from ci_server.telemetry.request_id import current_request_id

router = APIRouter(
    prefix="/session/oidc",
    dependencies=[Depends(public), Depends(rate_limited)],
    include_in_schema=False,
)

CALLBACK_PATH = "/session/oidc/callback"
_TO_ROOT = "../.."
"""From either route; relative, for proxies that serve us below a path of theirs."""

_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{more}<title>{title} · CI runner</title>
<link rel="stylesheet" href="{root}/ui/assets/base.css">
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


@router.get("/start")
async def start(request: Request, api: Api, control: Control) -> Response:
    """To the issuer."""
    oidc = _oidc_of(api)
    credentials = control.credentials_of(request)
    try:
        address, attempt = await oidc.login.begin(
            _redirect(request, oidc, control), request.query_params.get("next", "")
        )
    except RunnerError as error:
        return _failed(error)
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    secure = api.own_origin.is_https(credentials)
    header = oidc.cookie.setting(attempt, int(LASTS.total_seconds()), secure=secure)
    response.headers.append("Set-Cookie", header)
    return response


@router.get("/callback")
async def callback(request: Request, api: Api, control: Control) -> Response:
    """Back from the issuer."""
    oidc = _oidc_of(api)
    credentials = control.credentials_of(request)
    try:
        returned = Returned(oidc.cookie.value(credentials), **_parameters(request))
        user, next_path = await oidc.login.finish(returned, _redirect(request, oidc, control))
        signed_in = await api.service.sign_in_issued(user, browser_of(request, credentials))
    except (InvalidCredentialsError, ForbiddenError) as error:
        await control.audit.failed(credentials, error)
        response = _failed(error)
    except RunnerError as error:
        response = _failed(error)
    else:
        response = _hop(next_path)
        api.keep(response, control, credentials, signed_in)
    removal = oidc.cookie.removal(secure=api.own_origin.is_https(credentials))
    response.headers.append("Set-Cookie", removal)
    return response


def _oidc_of(api: Api) -> OidcApi:
    if api.oidc is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return api.oidc


def _redirect(request: Request, oidc: OidcApi, control: Control) -> str:
    """Where the issuer is to send the browser to. Raises BadRequestError."""
    return public_url(request, oidc.public_url, control.proxies) + CALLBACK_PATH


def _parameters(request: Request) -> dict[str, str]:
    """Of the issuer's answer; others, which some issuers add, do not count.

    Raises InvalidCredentialsError when one is there twice: neither counts.
    """
    names = {"state": "state", "code": "code", "iss": "issuer", "error": "error"}
    found = {}
    for name, field in names.items():
        values = request.query_params.getlist(name)
        if len(values) > 1:
            raise InvalidCredentialsError(f"the address has the parameter {name} twice")
        if values:
            found[field] = values[0]
    return found


def _hop(next_path: str) -> HTMLResponse:
    """A page of ours that leads on. Along a redirect a browser that another site sent here would
    not send the cookie of the session, which is SameSite=Strict; this navigation begins here.
    """
    target = escape(_TO_ROOT + next_path)
    more = f'<meta http-equiv="refresh" content="0; url={target}">\n'
    content = f'<p><a href="{target}">Go on to the dashboard</a></p>'
    return _page("Signed in", content, HTTPStatus.OK, more)


def _failed(error: RunnerError) -> HTMLResponse:
    told = error.message if error.code in STATUS_OF_CODE else "internal error"
    told = f"{told[:1].upper()}{told[1:].removesuffix('.')}."
    content = (
        f'<div class="problem" role="alert"><strong>{escape(told)}</strong></div>\n'
        f'<p><a href="{_TO_ROOT}/ui/login">Back to signing in</a></p>\n'
        f'<p class="faint">Request {escape(current_request_id())}</p>'
    )
    status = STATUS_OF_CODE.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    return _page("You are not signed in", content, status)


def _page(title: str, content: str, status: int, more: str = "") -> HTMLResponse:
    html = _PAGE.format(title=title, content=content, more=more, root=_TO_ROOT)
    return HTMLResponse(html, status, {"Content-Security-Policy": _POLICY})
