"""Log why a server cannot start, without a traceback."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ci_common.errors import RunnerError


class StartRefusal:
    """Middleware for the lifespan. Starlette logs a failed start with its traceback, which buries
    the message of an error that operators can fix, such as an unusable database. Unexpected errors
    keep their traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or start and stop."""
        await self._app(scope, receive, _explained(send) if scope["type"] == "lifespan" else send)


def _explained(send: Send) -> Send:
    async def explain(message: Message) -> None:
        error = sys.exc_info()[1]  # it is being handled while Starlette sends this
        if message["type"] == "lifespan.startup.failed" and isinstance(error, RunnerError):
            message = {**message, "message": f"the server cannot start: {error.message}"}
        await send(message)

    return explain
