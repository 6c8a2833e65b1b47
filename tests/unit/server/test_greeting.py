"""What the server says when it starts."""

import pytest

from ci_common.settings import Settings
from ci_server.greeting import greeting

pytestmark = pytest.mark.anyio


async def rows(host="127.0.0.1", port=8000, *, identified=False, **settings):
    wanted = Settings(**{"executor": "process", "db_path": "/x/ci.db", **settings})
    first, *lines = (await greeting(wanted, host, port, has_identities=identified)).splitlines()
    return first, {line.split()[0]: line.split(None, 1)[1] for line in lines}


async def test_of_a_server_for_this_machine():
    first, told = await rows()
    assert first == "ci_server at http://127.0.0.1:8000 (Ctrl-C stops it)"
    assert told == {
        "jobs": "run in processes of this machine, not isolated (CI_EXECUTOR=process)",
        "for": "programs on this machine, without a key; "
        "`ci-admin user create` turns on authentication",
        "data": "/x/ci.db",
        "try": "ci submit, in a project's directory",
        "open": "http://127.0.0.1:8000/ in a browser",
    }


async def test_of_a_server_with_users():
    _, told = await rows(identified=True, jwt_issuer="https://issuer", jwt_audience="ci")
    assert told["for"] == "users with an API key and JWTs of https://issuer"
    assert told["try"] == "CI_API_KEY=... ci submit, in a project's directory"


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [("::1", 8000, "http://[::1]:8000"), ("127.0.0.1", 9000, "http://127.0.0.1:9000")],
)
async def test_another_address_is_told_to_clients(host, port, url):
    first, told = await rows(host, port)
    assert url in first
    assert told["try"].startswith(f"CI_SERVER_URL={url} ci submit")


async def test_who_else_runs_jobs_and_who_else_may_come():
    _, told = await rows("192.0.2.1", controller="external", insecure=True)
    assert told["jobs"] == "started by `python -m ci_controller` (CI_CONTROLLER=external)"
    assert told["for"] == "anyone who can reach it, without a key (--insecure)"


async def test_an_engine_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    _, told = await rows(executor="docker")
    assert told["jobs"].startswith("wait: the Docker daemon does not respond")
