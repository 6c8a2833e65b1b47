"""Paths that are the same with a slash at their end."""

from starlette.types import ASGIApp, Receive, Scope, Send


class OptionalTrailingSlash:
    """Middleware that takes one slash from the end of paths below a prefix, whose routes are
    declared without. A redirect instead would lose the body of a request whose client does not
    follow it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] in ("http", "websocket") and self._has_slash(scope["path"]):
            changed = {"path": scope["path"][:-1]}
            if raw := scope.get("raw_path"):
                changed["raw_path"] = raw.removesuffix(b"/")
            scope = {**scope, **changed}
        await self._app(scope, receive, send)

    def _has_slash(self, path: str) -> bool:
        return path.startswith(self._prefix) and path.endswith("/") and path != self._prefix
