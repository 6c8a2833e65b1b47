"""A server without identities is for its own machine, and cannot be opened by accident."""

import subprocess
import sys

import pytest

from support.archives import zip_bytes
from support.live_server import ROOT

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
FORM = {"file": ("project.zip", zip_bytes({"a.py": "print(1)"}), "application/zip")}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "192.0.2.7"},
    ],
)
@pytest.mark.docker
def test_web_pages_and_proxies_get_nothing(server, headers):
    before = server.rows()
    for answer in (
        server.http.get("/jobs", headers=headers),
        server.http.post("/submit-async", files=FORM, headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "not_local"
    assert server.rows() == before


@pytest.mark.docker
def test_nobody_is_sent_elsewhere(server):
    answer = server.http.get("/jobs/", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers.get("Location")) == (404, None)


@pytest.mark.docker
def test_credentials_that_prove_nothing_are_refused(server):
    answer = server.http.get("/jobs", headers={"Authorization": "Bearer ci_nothing"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_credentials"


def test_the_server_refuses_to_listen_to_others(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "ci_server", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "refusing to listen at 0.0.0.0: no identities are set up" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_web_pages_of_a_listed_origin_are_let_in(own_server):
    origin = "http://localhost:3000"
    server = own_server(cors_origins=origin, environment=NO_ENGINE).start()
    wanted = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = server.http.options("/submit-async", headers=wanted)
    assert preflight.headers["access-control-allow-origin"] == origin
    answer = server.http.get("/jobs", headers={"Origin": origin})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    other = server.http.get("/jobs", headers={"Origin": "http://localhost:3001"})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers
