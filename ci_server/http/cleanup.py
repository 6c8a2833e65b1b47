"""Cleanup after a request, however it ends."""

from collections.abc import Callable
from contextlib import ExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY = "ci_server.http.cleanup"


class RequestEnd:
    """Middleware that carries it out: after the last byte of the answer, a stream's included,
    after an error, and when the client is gone or the server stops.

    The tasks of a stream end a little later than its answer, and a client that has all of it may
    have sent the next request by then, for which there has to be room.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and then clear up."""
        with ExitStack() as stack:
            scope[_KEY] = stack

            async def watched(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    stack.close()

            await self._app(scope, receive, watched)


def at_end(scope: Scope, call: Callable[[], None]) -> None:
    """Have this called at the end of the request."""
    stack: ExitStack = scope[_KEY]
    stack.callback(call)
