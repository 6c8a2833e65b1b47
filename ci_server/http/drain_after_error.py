"""Errors sent before the request was read: keep reading, so that the client sees them."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 10.0
_BYTES = 256 << 20
"""Above what an upload may be by default, so that clients which read no answer before they have
sent everything get it, too."""

_EMPTY: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class EarlyAnswers:
    """Middleware that sends such an answer at once, and then reads on for a while.

    Were the connection closed with a part of the request unread, the network would tell the
    client, still sending, only that it was reset. What is read is thrown away.
    """

    def __init__(self, app: ASGIApp, seconds: float = _SECONDS, size: int = _BYTES) -> None:
        self._app = app
        self._seconds = seconds
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; errors before the end of the request are drained."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_ended = not _has_body(scope)
        is_error = False

        async def received() -> Message:
            nonlocal request_ended
            message = await receive()
            request_ended = request_ended or not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            nonlocal is_error
            if message["type"] == "http.response.start":
                is_error = message["status"] >= 400
                if is_error and not request_ended:
                    # Whoever goes on sending beyond our patience is cut off.
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last and is_error and not request_ended:
                await send({**message, "more_body": True})
                await self._drain(received, lambda: request_ended)
                message = _EMPTY
            await send(message)

        await self._app(scope, received, sent)

    async def _drain(self, receive: Receive, ended: Callable[[], bool]) -> None:
        left = self._size
        try:
            async with asyncio.timeout(self._seconds):
                while left >= 0 and not ended():
                    left -= len((await receive()).get("body", b""))
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    names = dict(scope["headers"])
    return names.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in names
