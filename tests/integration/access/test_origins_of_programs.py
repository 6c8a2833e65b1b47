"""Pages inside programs, whose origins have schemes of their own, at a server without users and at
one with; with real requests.
"""

import pytest

from support import projects
from support.live_server import LiveServer

LISTED = "vscode-webview://1a2b3c"
OTHERS = [
    "vscode-webview://1a2b3d",
    "vscode-webview://1a2b3c.evil.example",
    "vscode-webview://1a2b3c:1",
    "vscode-webview://1A2B3C",
    "vscode-webview://1a2b3c/",
    "vscode-webview:1a2b3c",
    "https://1a2b3c",
    "http://1a2b3c",
    f"{LISTED}, {LISTED}",
    "null",
    "",
]
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
PERMISSION = "access-control-allow-origin"


@pytest.fixture(scope="module", params=[True, False], ids=["without users", "with JWTs"])
def server(request, tmp_path_factory):
    users = {"jwt_issuer": "https://issuer.invalid", "jwt_audience": "ci"}
    with LiveServer(
        tmp_path_factory.mktemp("origins"),
        hardened=True,
        controller="external",
        environment=NO_ENGINE,
        cors_origins=f"https://ci.example.com,{LISTED}",
        **({} if request.param else users),
    ) as server:
        yield server.start()


def ask(server, origin, method="GET", **options):
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    return server.http.request(method, "/jobs", headers=headers | options.pop("headers", {}))


def preflight(server, origin):
    wanted = {
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    return ask(server, origin, "OPTIONS", headers=wanted)


def test_a_listed_origin_is_let_in(server):
    has_users = "CI_JWT_ISSUER" in server.environment
    answer = ask(server, LISTED)
    assert answer.status_code == (401 if has_users else 200)
    assert answer.headers[PERMISSION] == LISTED
    assert "access-control-allow-credentials" not in answer.headers
    allowed = preflight(server, LISTED)
    assert (allowed.status_code, allowed.headers[PERMISSION]) == (200, LISTED)
    if not has_users:
        headers = {"Origin": LISTED, "Sec-Fetch-Site": "cross-site"}
        form = server.form(projects.ANY, ["true"])
        assert server.http.post("/submit-async", headers=headers, **form).status_code == 200


@pytest.mark.parametrize("origin", OTHERS)
def test_every_other_origin_is_not(server, origin):
    answer = ask(server, origin)
    assert answer.status_code == (401 if "CI_JWT_ISSUER" in server.environment else 403)
    assert PERMISSION not in answer.headers
    assert PERMISSION not in preflight(server, origin).headers
