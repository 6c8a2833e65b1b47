"""A server without identities is for its own machine, and cannot be opened by accident."""

import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from support.archives import zip_bytes
from support.live_server import ROOT, free_port
from support.waiting import until_sync

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


def start_at(host, directory, port=0):
    """`python -m ci_server` with nothing set, as somebody types it who tries it out."""
    return subprocess.Popen(
        [sys.executable, "-m", "ci_server", "--host", host, "--port", str(port)],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **NO_ENGINE},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(host, directory):
    server = start_at(host, directory)
    _, told = server.communicate(timeout=60)
    assert server.returncode == 1
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_server_refuses_to_listen_to_others_and_tells_the_ways_out(tmp_path, host):
    told = refusal(host, tmp_path)
    assert told.startswith(f"ci_server: refusing to listen on {host}: this server has no users")
    lines = told.splitlines()
    lines.remove(str(tmp_path / "ci_jobs.db"))
    assert max(map(len, lines)) <= 80, "as wide as a terminal is"
    assert list(tmp_path.iterdir()) == [], "a refusal leaves nothing behind"


def answering(port, process):
    assert process.poll() is None, process.stderr.read()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/jobs", trust_env=False, timeout=60)
    except httpx.TransportError:
        return None


@contextmanager
def serving(host, directory):
    """The server, once it answers; and the port."""
    port = free_port()
    process = start_at(host, directory, port)
    try:
        until_sync(lambda: answering(port, process), lambda answer: answer, "an answer")
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_first_way_out_works_as_it_is_printed(tmp_path):
    commands = [
        line.split()
        for line in refusal("0.0.0.0", tmp_path).splitlines()
        if line.startswith("         ci-admin ")
    ]
    assert len(commands) == 2
    for name, *arguments in commands:
        assert name == "ci-admin"
        done = subprocess.run(
            [sys.executable, "-m", "ci_admin", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
    key = done.stdout.strip()
    with serving("0.0.0.0", tmp_path) as port:
        url, with_key = f"http://127.0.0.1:{port}/jobs", {"Authorization": f"Bearer {key}"}
        assert httpx.get(url, trust_env=False, timeout=60).status_code == 401
        assert httpx.get(url, headers=with_key, trust_env=False, timeout=60).json() == []
        proxied = {**with_key, "X-Forwarded-For": "192.0.2.7", "Host": "ci.example.com"}
        assert httpx.get(url, headers=proxied, trust_env=False, timeout=60).status_code == 200


def test_the_second_way_out_is_for_this_machine_and_no_proxy(tmp_path):
    with serving("127.0.0.1", tmp_path) as port:
        url, proxied = f"http://127.0.0.1:{port}/jobs", {"X-Forwarded-For": "192.0.2.7"}
        assert httpx.get(url, trust_env=False, timeout=60).json() == []
        answer = httpx.get(url, headers=proxied, trust_env=False, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_local")


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
