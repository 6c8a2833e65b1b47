"""Paths with and without a slash at their end."""

import pytest

from ci_server.http.trailing_slash import OptionalTrailingSlash

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/api/v1/runs/", "/api/v1/runs"),
        ("/api/v1/runs", "/api/v1/runs"),
        ("/api/v1/runs//", "/api/v1/runs/"),
        ("/api/v1/", "/api/v1/"),
        ("/jobs/", "/jobs/"),
        ("/", "/"),
    ],
)
async def test_one_slash_below_the_prefix_is_optional(kind, path, served):
    seen = []

    async def app(scope, _receive, _send):
        seen.append((scope["path"], scope["raw_path"]))

    scope = {"type": kind, "path": path, "raw_path": path.encode()}
    await OptionalTrailingSlash(app, "/api/v1/")(scope, None, None)
    assert seen == [(served, served.encode())]
    assert scope["path"] == path


async def test_other_scopes_have_no_path():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope)

    await OptionalTrailingSlash(app, "/api/v1/")({"type": "lifespan"}, None, None)
    assert seen == [{"type": "lifespan"}]
