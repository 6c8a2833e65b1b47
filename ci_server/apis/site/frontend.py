"""A static site of the operator's, where no route of the API is."""

import asyncio
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ci_common.errors import SettingsError
from ci_server.http.accept import wants_html
from ci_server.http.guards import rate_limited
from ci_server.http.security_headers import SITE_POLICY
from ci_server.http.static_files import file_answer

INDEX = "index.html"
_HEADERS = {"Content-Security-Policy": SITE_POLICY}
_SHOWN_HIDDEN = ".well-known"
_METHODS = ("GET", "HEAD")


class Frontend:
    """The files below one directory."""

    def __init__(self, directory: Path, send_timeout_seconds: float) -> None:
        """Raises SettingsError when there is no such site."""
        self._directory = directory.resolve()
        self._send_timeout_seconds = send_timeout_seconds
        if not (self._directory / INDEX).is_file():
            raise SettingsError(
                f"CI_FRONTEND_DIR: there is no file {INDEX} in {self._directory}, so this is not a "
                "site; set it to the directory of the built site, or leave it unset"
            )

    async def index(self, connection: HTTPConnection) -> Response | None:
        """The site's first page; `None` when it is gone."""
        return await self._answer(connection, INDEX, {"Vary": "Accept"})

    async def answer(self, connection: HTTPConnection) -> Response | None:
        """The file at the request's path. A path without one is the first page for a browser that
        shows a page, because many sites have paths of their own; for others it is `None`.
        """
        path = connection.scope["path"].removeprefix("/")
        if found := await self._answer(connection, path + INDEX if path.endswith("/") else path):
            return found
        return await self.index(connection) if wants_html(connection) else None

    async def _answer(
        self, connection: HTTPConnection, path: str, headers: dict[str, str] | None = None
    ) -> Response | None:
        if not _is_shown(path):
            return None
        file = await asyncio.to_thread(self._inside, path)
        if file is None:
            return None
        return await file_answer(
            connection, file, self._send_timeout_seconds, {**_HEADERS, **(headers or {})}
        )

    def _inside(self, path: str) -> Path | None:
        """Where the file really is, unless that is outside of the site."""
        try:
            found = (self._directory / path).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # missing; a circle of links; a NUL
            return None
        return found if found.is_relative_to(self._directory) else None


def _is_shown(path: str) -> bool:
    """Not what leads upwards, and not what is hidden, such as `.git` or `.env`."""
    parts = path.split("/")
    return all(
        part and "\\" not in part and (not part.startswith(".") or part == _SHOWN_HIDDEN)
        for part in parts
    )


class FrontendFallback:
    """What answers requests that no route matches: the site, once the application has started and
    the operator has one, and otherwise `not_found`.

    Below the first part of a route's path everything is the API's: what it does not know is a 404,
    never a page.
    """

    def __init__(self, not_found: ASGIApp) -> None:
        self._not_found = not_found
        self._of_api: frozenset[str] = frozenset()

    def keep_clear_of(self, paths: Iterable[str]) -> None:
        """Tell it the paths of the API's routes."""
        self._of_api = frozenset(map(_first_part, paths)) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["method"] in _METHODS:
            frontend: Frontend | None = getattr(scope["app"].state, "frontend", None)
            if frontend is not None and _first_part(scope["path"]) not in self._of_api:
                connection = HTTPConnection(scope)
                await rate_limited(connection)
                if answer := await frontend.answer(connection):
                    await answer(scope, receive, send)
                    return
        await self._not_found(scope, receive, send)


def _first_part(path: str) -> str:
    return PurePosixPath(path.lstrip("/")).parts[0] if path.strip("/") else ""
