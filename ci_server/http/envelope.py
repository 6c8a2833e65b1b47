"""What surrounds every request, whatever becomes of it: its id, careful headers, CORS.

Plain ASGI, outside of all error handling, so that errors have them, too; a stream passes through
untouched.
"""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ci_common.trace_context import begin_request_trace
from ci_server.access.auth.addresses import NO_PROXIES, TrustedProxies, peer_of
from ci_server.http.security_headers import secured
from ci_server.telemetry.request_id import REQUEST_ID_HEADER, begin_request, choose_request_id

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
    "Link",
    "Retry-After",
    "Stream-Closed",
    "Stream-Cursor",
    "Stream-Next-Offset",
    "Stream-SSE-Data-Encoding",
    "Stream-Up-To-Date",
    "X-Next-Cursor",
    "X-Request-ID",
    "X-Total-Count",
)
_ANSWERS = ("http.response.start", "websocket.http.response.start")
"""The second refuses a WebSocket."""


class RequestEnvelope:
    """Names the request, and completes the headers of its answer.

    The proxies that are believed are the application's `state.trusted_proxies`, once it started.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get(REQUEST_ID_HEADER.decode()))
        begin_request(request_id)
        begin_request_trace(headers.get("traceparent"))
        over_https = _is_secure(scope, headers)

        async def completed(message: Message) -> None:
            if message["type"] in _ANSWERS:
                answered = secured(list(message.get("headers", ())), over_https=over_https)
                answered.append((REQUEST_ID_HEADER, request_id.encode()))
                message = {**message, "headers": answered}
            await send(message)

        await self._app(scope, receive, completed)


def _is_secure(scope: Scope, headers: Headers) -> bool:
    proxies: TrustedProxies = getattr(scope["app"].state, "trusted_proxies", NO_PROXIES)
    return proxies.is_secure(scope.get("scheme", "http"), peer_of(scope, headers), headers)


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
