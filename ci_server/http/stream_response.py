"""Responses to clients that stopped reading: their connections are closed."""

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from ci_server.access.auth.addresses import remember_peer
from ci_server.http.envelope import ListedOrigins, RequestEnvelope

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class CuttingApplication(FastAPI):
    """Cuts the connection of a response that was given up half-way.

    The web server closes such a connection, but first waits until the reader has taken what is
    buffered. One that never does would keep its socket, and at the end the process, for ever.
    """

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as FastAPI does."""
        remember_peer(scope, send)
        under_way = False

        async def watched(message: Message) -> None:
            nonlocal under_way
            under_way = message["type"] == "http.response.start" or bool(message.get("more_body"))
            await send(message)

        try:
            await super().__call__(scope, receive, watched if scope["type"] == "http" else send)
        finally:
            if under_way:
                logger.debug("%r: the answer was cut off before its end", scope["path"])
                _cut_soon(send)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's, inside of what surrounds every request: errors need that, too."""
        return RequestEnvelope(ListedOrigins(super().build_middleware_stack()))


def _cut_soon(send: Send) -> None:
    """Give a reader that is only slow the time to take the rest."""
    # ASGI has no word for this. Both of uvicorn's protocols send by a method of an object
    # that holds the connection; with another server it is left to that server's time-outs.
    connection: Any = getattr(send, "__self__", None)
    abort = getattr(getattr(connection, "transport", None), "abort", None)
    if abort is not None:
        asyncio.get_running_loop().call_later(_FLUSH_SECONDS, abort)
