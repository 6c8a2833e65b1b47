"""`GET /`, and the page that shows the API. It loads nothing from other servers."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from ci_server.apis.site.frontend import Frontend
from ci_server.http.accept import wants_html
from ci_server.http.guards import public, rate_limited
from ci_server.http.security_headers import DOCS_POLICY
from ci_server.http.static_files import file_answer
from ci_server.telemetry.service import SERVICE, VERSION

DOCS_PATH = "/docs"
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CI runner: HTTP API</title>
<link rel="stylesheet" href="./docs/assets/swagger-ui.css">
<link rel="icon" href="./docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> does not.</noscript>
<script src="./docs/assets/swagger-ui-bundle.js"></script>
<script src="./docs/assets/docs.js"></script>
</body>
</html>
"""
"""Its links are relative, for proxies that serve us below a path of theirs."""

_SWAGGER_UI = "fastapi_swagger.resources"
"""The package that ships Swagger UI; only its files are used."""

_ASSETS = {
    "swagger-ui.css": _SWAGGER_UI,
    "swagger-ui-bundle.js": _SWAGGER_UI,
    "favicon-32x32.png": _SWAGGER_UI,
    "docs.js": __package__,
}

router = APIRouter(dependencies=[Depends(public), Depends(rate_limited)], include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def root(request: Request) -> Response:
    """The operator's site or, without one, the dashboard, for browsers that show a page; for
    others what this server is.
    """
    vary = {"Vary": "Accept"}
    if wants_html(request):
        frontend: Frontend | None = getattr(request.app.state, "frontend", None)
        if frontend is None:
            # Relative, like the page's links.
            return RedirectResponse("ui/", headers=vary)
        if page := await frontend.index(request):
            return page
    about = {"service": SERVICE, "version": VERSION, "docs": DOCS_PATH}
    return JSONResponse(about, headers=vary)


@router.get(DOCS_PATH)
async def docs() -> HTMLResponse:
    """The API's page."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": DOCS_POLICY})


@router.get(DOCS_PATH + "/assets/{path}")
async def docs_asset(request: Request, path: str) -> Response:
    """What the page loads."""
    package = _ASSETS.get(path)
    if package is not None:
        file = Path(str(files(package) / path))
        timeout: float = request.app.state.native_api.send_timeout_seconds
        if answer := await file_answer(request, file, timeout, {}):
            return answer
    raise HTTPException(404)
