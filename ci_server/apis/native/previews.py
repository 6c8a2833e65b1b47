"""The HTTP API: artifacts as a browser shows them, such as HTML reports.

Nothing of a job may run as a page of ours. So what is here is sandboxed: its origin is none, no
cookie is needed or sent, and it can load only what belongs to the same job.
"""

import html
from http import HTTPStatus
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ci_common.errors import ArtifactNotFoundError, RunnerError
from ci_server.apis.native.present import preview_json
from ci_server.apis.native.routes import Api, NativeApi
from ci_server.http.accept import wants_html
from ci_server.http.errors import STATUS_OF_CODE
from ci_server.http.guards import Previewer, origin_of, public, rate_limited, stream_slot
from ci_server.http.preview_document import (
    FRAMED,
    HEAD_BYTES,
    PAGE_SCRIPT,
    STYLE_HASH,
    frame_html,
    is_page,
    is_shown,
    place_of_script,
    preview_type,
)
from ci_server.http.public_url import public_url
from ci_server.http.security_headers import (
    PREVIEW_ERROR_POLICY,
    PREVIEW_HEADERS,
    preview_frame_headers,
    preview_policy,
)
from ci_server.http.stored_file import (
    Conditions,
    StoredFile,
    Wanted,
    disposition,
    stored_file_answer,
)

_PATH = "/preview/{grant}/{path:artifact_path}"
_FOR_EVERYBODY = [Depends(public), Depends(rate_limited)]
_ADVICE = {
    "grant_expired": "Open the artifact again from the page of its job.",
    "invalid_grant": "Open the artifact again from the page of its job.",
    "artifact_not_found": "The job did not leave this file, or it was deleted since. The list of "
    "its artifacts is on the page of the job.",
    "job_not_found": "It was deleted, or you may not read it any more.",
}
_ERROR_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>No preview</title></head>
<body><h1>No preview</h1><p>{message}.</p><p>{advice}</p><p>({code})</p></body>
</html>
"""

router = APIRouter()
shown_router = APIRouter(dependencies=_FOR_EVERYBODY, include_in_schema=False)
"""What browsers load. A query is ignored: pages of a job have their own."""


@router.post("/jobs/{job_id}/previews", status_code=HTTPStatus.CREATED)
async def create_preview(
    request: Request, job_id: str, response: Response, api: Api, principal: Previewer
) -> dict[str, str | None]:
    """A URL, for 15 minutes, below which a browser can show the artifacts of the job: append a
    path.
    """
    base = public_url(request, api.public_url, api.proxies)
    preview = await api.previews.issue(principal, job_id)
    response.headers["Cache-Control"] = "no-store"
    return preview_json(preview, f"{base}/preview/{preview.grant}/")


@shown_router.api_route(_PATH, methods=["GET", "HEAD"])
async def get_preview(
    request: Request, grant: str, path: str, api: Api, wanted: Wanted
) -> Response:
    """An artifact as a browser may show it: sandboxed. A directory is its `index.html`."""
    try:
        return await _preview(request, api, grant, path, wanted)
    except RunnerError as error:
        if error.code in _ADVICE and wants_html(request):
            return _error_page(error)
        raise


async def _preview(
    request: Request, api: NativeApi, grant: str, path: str, wanted: Conditions
) -> Response:
    origin = origin_of(request)
    try:
        found = await api.previews.artifact(grant, path, origin)
    except ArtifactNotFoundError:
        if path.endswith("/") or not await api.previews.is_directory(grant, path, origin):
            raise
        name = path.rpartition("/")[2]
        return RedirectResponse(f"./{quote(name, safe='')}/")
    if request.method != "HEAD":
        stream_slot(request, found.holder, of_user=False)
    file = StoredFile(api.artifacts, found.job.job_id, found.artifact)
    head = await file.head(HEAD_BYTES)
    media_type = preview_type(found.artifact.path, head)
    places = _places(request, api, grant)
    if not is_page(media_type):
        return _shown(request, api, file, wanted, media_type, preview_policy(places))
    place = place_of_script(head)
    if place is None:
        return _shown(request, api, file, wanted, media_type, preview_policy(places))
    if _is_in_tab(request):
        page = frame_html(found.job.job_id, found.artifact.path)
        return HTMLResponse(page, headers=preview_frame_headers(places, STYLE_HASH))
    file = StoredFile(api.artifacts, found.job.job_id, found.artifact, PAGE_SCRIPT, place)
    return _shown(request, api, file, wanted, media_type, preview_policy(places, scripts=True))


def _is_in_tab(request: Request) -> bool:
    """Whether a browser is about to show the answer by itself."""
    return request.headers.get("sec-fetch-dest") == "document" or FRAMED in request.query_params


def _shown(
    request: Request,
    api: NativeApi,
    file: StoredFile,
    wanted: Conditions,
    media_type: str,
    policy: str,
) -> Response:
    how = "inline" if is_shown(media_type) else "attachment"
    headers = {
        "Content-Security-Policy": policy,
        "Content-Disposition": disposition(how, file.artifact.path),
        **PREVIEW_HEADERS,
        "Vary": "Sec-Fetch-Dest",
    }
    return stored_file_answer(request, file, wanted, headers, media_type, api.send_timeout_seconds)


def _places(request: Request, api: NativeApi, grant: str) -> list[str]:
    """The preview's own URLs: as this request came here, and as the operator has set it, which may
    differ.
    """
    bases = {public_url(request, configured, api.proxies) for configured in (None, api.public_url)}
    return [f"{base}/preview/{grant}/" for base in sorted(bases)]


def _error_page(error: RunnerError) -> Response:
    """For a person, and in a frame of the dashboard."""
    page = _ERROR_PAGE.format(
        message=html.escape(error.message.rstrip(".").capitalize()),
        advice=_ADVICE[error.code],
        code=error.code,
    )
    headers = {"Content-Security-Policy": PREVIEW_ERROR_POLICY}
    return HTMLResponse(page, STATUS_OF_CODE[error.code], headers)
