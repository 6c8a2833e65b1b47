"""The routes of the dashboard: its pages, and what they load. They are the same for everybody."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from ci_server.dashboard.pages import MISSING, PAGES, UI_PATH, Page, depth_of, page_html, site
from ci_server.http.accept import wants_html
from ci_server.http.guards import public, rate_limited
from ci_server.http.security_headers import DASHBOARD_HEADERS

router = APIRouter(prefix=UI_PATH, dependencies=[Depends(public)], include_in_schema=False)


@router.api_route("", methods=["GET", "HEAD"], dependencies=[Depends(rate_limited)])
async def to_dashboard() -> Response:
    """To the first page; relative, like the links of pages."""
    return RedirectResponse(UI_PATH.removeprefix("/") + "/")


def _answering(page: Page) -> Callable[[], Awaitable[HTMLResponse]]:
    async def answer() -> HTMLResponse:
        html = await asyncio.to_thread(page_html, page, depth_of(page))
        return HTMLResponse(html, headers=DASHBOARD_HEADERS)

    return answer


for _page in PAGES:
    router.add_api_route(
        _page.path,
        _answering(_page),
        methods=["GET", "HEAD"],
        dependencies=[Depends(rate_limited)],
        name=f"dashboard_{_page.script}",
    )


@router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
async def asset(request: Request, path: str) -> Response:
    """What the pages load, below its version. Without one it is as it is now. Not rate limited: a
    page loads dozens, once.
    """
    version, assets = await asyncio.to_thread(site)
    name = path.removeprefix(version + "/")
    if found := assets.get(name):
        return found.answer(request, versioned=name != path)
    raise HTTPException(404)


_DEEPEST = 16
"""Slashes in an address that is answered with a page: each makes all of its links longer."""


@router.api_route(MISSING.path, methods=["GET", "HEAD"], dependencies=[Depends(rate_limited)])
async def missing(request: Request) -> Response:
    """What is no page: a browser gets one that says so. It says nothing of the address."""
    # As the browser sees it, to which %2F is no slash.
    below = request.scope["raw_path"].partition(f"{UI_PATH}/".encode())[2]
    depth = below.count(b"/")
    if depth > _DEEPEST or not wants_html(request):
        raise HTTPException(404)
    html = await asyncio.to_thread(page_html, MISSING, depth)
    return HTMLResponse(html, 404, {**DASHBOARD_HEADERS, "Vary": "Accept"})
