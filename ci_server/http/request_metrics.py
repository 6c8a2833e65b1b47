"""Counts requests, by the template of the route that serves them, never by their path."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ci_server.telemetry.metrics import OTHER, ServerMetrics

_STATUS_OF_FAILURE = 500
_ACCEPTED = 101
_REFUSED = 403
"""What a client gets of a WebSocket that is closed before it was accepted."""


class RequestMetrics:
    """Middleware. It sees the same scope as the router, so nothing between them may copy it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and count."""
        metrics = _metrics(scope)
        if metrics is None:
            await self._app(scope, receive, send)
            return
        began, status, seconds = time.perf_counter(), _STATUS_OF_FAILURE, None

        async def watched(message: Message) -> None:
            nonlocal status, seconds
            if seconds is None and (found := _status_of(message)) is not None:
                status, seconds = found, time.perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path_format", OTHER)
            metrics.answered(scope.get("method", "GET"), route, status, seconds)


def _metrics(scope: Scope) -> ServerMetrics | None:
    """`None` for the lifespan, before the application has started, and where metrics are off."""
    if scope["type"] == "lifespan":
        return None
    metrics: ServerMetrics | None = getattr(scope["app"].state, "metrics", None)
    return metrics


def _status_of(message: Message) -> int | None:
    """The status of the response that begins with this message, if one does."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return _ACCEPTED
        case "websocket.close":
            return _REFUSED
    return None
