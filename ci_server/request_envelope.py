"""What surrounds every request, whatever becomes of it: its id, careful headers, CORS.

Plain ASGI, outside of all error handling, so that errors have them, too; a stream passes through
untouched.
"""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ci_server.request_id import REQUEST_ID_HEADER, begin_request, choose_request_id
from ci_server.security_headers import secured

_CORS_METHODS = ("GET", "HEAD", "POST", "DELETE")
_CORS_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Range",
    "X-Request-ID",
)
_CORS_EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Retry-After",
    "X-Next-Cursor",
    "X-Request-ID",
)


class RequestEnvelope:
    """Names the request, and completes the headers of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get(REQUEST_ID_HEADER.decode())
        request_id = choose_request_id(offered)
        begin_request(request_id)

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = secured(list(message.get("headers", ())), scope.get("scheme", "http"))
                headers.append((REQUEST_ID_HEADER, request_id.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, completed)


class ListedOrigins:
    """Lets web pages of the listed origins use the server; without a list there is no CORS.

    The list is the application's `state.cors_origins`, which is known once it has started.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cors: CORSMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        app = self._app
        if scope["type"] == "http":
            app = self._with_cors(getattr(scope["app"].state, "cors_origins", ()))
        await app(scope, receive, send)

    def _with_cors(self, origins: tuple[str, ...]) -> ASGIApp:
        if not origins:
            return self._app
        if self._cors is None or tuple(self._cors.allow_origins) != origins:
            self._cors = CORSMiddleware(
                self._app,
                allow_origins=origins,
                allow_methods=_CORS_METHODS,
                allow_headers=_CORS_REQUEST_HEADERS,
                expose_headers=_CORS_EXPOSED_HEADERS,
            )
        return self._cors
