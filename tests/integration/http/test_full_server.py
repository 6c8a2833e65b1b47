"""A server that has all its connections: who is answered all the same, and what others are told."""

import contextlib
import http.client
import json
import os
import subprocess

import httpx
import pytest

from ci_server.telemetry.service import VERSION
from support import projects
from support.archives import zip_bytes
from support.command_line import CommandLine
from support.crowds import answer_of, attackers, crowd
from support.live_server import LiveServer
from support.raw_http import connected, parsed, refused, rest, send

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
HEALTHY = f'{{"status":"healthy","service":"ci-runner","version":"{VERSION}"}}'.encode()
PLACES = 20
SIZES = [1 << 10, 10 << 20, 200 << 20]
POST = (
    b"POST /submit-async HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A server whose places are all taken by connections that say nothing."""
    settings = {"max_connections": PLACES, "request_timeout_seconds": 900}
    directory = tmp_path_factory.mktemp("full")
    with (
        LiveServer(directory, hardened=True, environment=NO_ENGINE, **settings) as server,
        crowd(server.start(), PLACES),
    ):
        yield server


@pytest.fixture(scope="module", params=SIZES, ids="{} bytes".format)
def upload(request, tmp_path_factory):
    """A file of this size, most of which is no more than a hole."""
    path = tmp_path_factory.mktemp("upload") / "project.zip"
    path.touch()
    os.truncate(path, request.param)
    return path


def check_refused(status, headers, body):
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (503, "too_many_connections")
    assert f"its limit of {PLACES} connections" in error["message"]
    assert headers["x-request-id"] == error["request_id"]
    assert int(headers["retry-after"]) >= 1
    assert headers["connection"] == "close"


def pieces(path, size=1 << 16):
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


# ------------------------------------------------------------------ probes


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 503),
        ("HEAD", "/health", 405),
        ("GET", "/api/v1/health/", 200),
    ],
)
def test_probes_get_their_true_answers(full, method, path, status):
    for _ in range(3 * PLACES):
        answer = httpx.request(method, full.url + path, trust_env=False, timeout=60)
        assert answer.status_code == status
        assert answer.headers["connection"] == "close"
        if status == 503:
            assert answer.json()["error"]["code"] == "not_ready"


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"GET /health HTTP/1.0\r\n\r\n", 1),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", 1),
        (b"GET /health HTTP/1.1\r\n\r\nGET /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000),
    ],
)
def test_a_probe_by_hand(full, head, size):
    for _ in range(3):
        with connected(full) as connection:
            for start in range(0, len(head), size):
                assert send(connection, head[start : start + size])
            status, headers, body = parsed(rest(connection))
            assert (status, body) == (200, HEALTHY)
            assert headers["connection"] == "close"


def test_only_probes_are_answered(full):
    for path in ("/jobs", "/openapi.json", "/health/x", "/usage", "/nothing"):
        answer = answer_of(full, path)
        check_refused(answer.status_code, answer.headers, answer.content)
    answer = httpx.head(f"{full.url}/jobs", trust_env=False, timeout=60)
    assert (answer.status_code, answer.content) == (503, b"")


@pytest.mark.parametrize(
    "opening", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nX-Slow: ", POST + b"\r\n"]
)
def test_who_says_nothing_cannot_use_up_the_reserve(full, opening):
    with attackers(full, 150, opening) as renew:
        for _ in range(5):
            assert answer_of(full, "/health").status_code == 200
            assert answer_of(full, "/ready").status_code == 503
            assert answer_of(full).json()["error"]["code"] == "too_many_connections"
            renew()


def test_who_says_nothing_is_told_and_let_go(full):
    with connected(full) as connection:
        message = refused(rest(connection), 503, "too_many_connections")
        assert f"its limit of {PLACES} connections" in message


# ------------------------------------------------------------------ uploads


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_by_http_client(full, upload, chunked):
    connection = http.client.HTTPConnection("127.0.0.1", full.port, timeout=60)
    length = {} if chunked else {"Content-Length": str(upload.stat().st_size)}
    connection.request("POST", "/submit-async", pieces(upload), length, encode_chunked=chunked)
    answer = connection.getresponse()
    check_refused(answer.status, answer.headers, answer.read())
    connection.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_by_httpx(full, upload, chunked):
    with httpx.Client(base_url=full.url, timeout=60, trust_env=False) as client:
        for _ in range(2):  # the same client finds out that its connection was closed
            if chunked:
                answer = client.post("/submit-async", content=pieces(upload))
            else:
                with upload.open("rb") as file:
                    answer = client.post("/submit-async", files={"file": file})
            check_refused(answer.status_code, answer.headers, answer.content)
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
@pytest.mark.parametrize(
    ("version", "chunked"), [("--http1.0", False), ("--http1.1", False), ("--http1.1", True)]
)
def test_an_upload_by_curl(full, upload, expect, version, chunked):
    form = ["-F", f"file=@{upload}"]
    body = ["-T", "-", "-X", "POST", "-H", "Transfer-Encoding: chunked"] if chunked else form
    with upload.open("rb") as file:
        done = subprocess.run(
            ["curl", "-sSi", version, "--noproxy", "*", "-H", expect, *body, f"{full.url}/submit"],
            stdin=file,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert b"100 Continue" not in done.stdout
    check_refused(*parsed(done.stdout))


@pytest.mark.parametrize("size", SIZES)
def test_a_submission_by_the_command(full, tmp_path, size):
    content = os.urandom(min(size, 90 << 20))  # no more than a server takes
    projects.write(tmp_path, {"project/data": content, "project/readme.txt": "-\n"})
    command_line = CommandLine(full.url, tmp_path)
    done = command_line.run("submit", "--path", str(tmp_path / "project"))
    assert done.code == 3, done
    assert f"the server has reached its limit of {PLACES} connections" in done.err
    command_line.close()


def test_a_client_that_expects_to_be_asked_for_its_body_is_not(full):
    with connected(full) as connection:
        send(connection, POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
        refused(rest(connection), 503, "too_many_connections")


def test_pipelined_requests_get_one_answer(full):
    with connected(full) as connection:
        assert send(connection, b"GET /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5_000)
        refused(rest(connection), 503, "too_many_connections")


def test_an_upload_that_never_ends_is_cut_off(full):
    with connected(full) as connection:
        send(connection, POST + b"Content-Length: 99999999999\r\n\r\n")
        taken = sum(send(connection, bytes(1 << 20)) for _ in range(400))
        assert 200 < taken < 400


def test_connections_that_were_there_before_go_on(own_server):
    server = own_server(hardened=True, environment=NO_ENGINE, max_connections=16).start()
    assert server.http.get("/jobs").status_code == 200
    with contextlib.ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(connected(server))
        server.until(lambda: answer_of(server).status_code, (503).__eq__, "the server full")
        form = server.form(zip_bytes({"data": os.urandom(1 << 20)}, compression=0))
        assert server.http.post("/submit-async", **form).status_code == 200
    server.until(lambda: answer_of(server).status_code, (200).__eq__, "a place")


# ------------------------------------------------------------------ many


def test_a_thousand_idle_connections(own_server):
    settings = {"max_connections": 1000, "request_timeout_seconds": 900}
    server = own_server(hardened=True, environment=NO_ENGINE, **settings).start()
    with crowd(server, 1000), attackers(server, 1000) as renew:
        for _ in range(3):
            assert answer_of(server, "/health").status_code == 200
            assert answer_of(server, "/ready").status_code == 503
            answer = httpx.post(
                f"{server.url}/submit-async",
                files={"file": bytes(10 << 20)},
                trust_env=False,
                timeout=60,
            )
            assert answer.json()["error"]["code"] == "too_many_connections"
            renew()


def test_each_worker_has_a_reserve(own_server):
    settings = {"max_connections": PLACES, "request_timeout_seconds": 900}
    server = own_server(hardened=True, environment=NO_ENGINE, **settings).start("--workers", "2")
    with crowd(server, PLACES, workers=2), attackers(server, 200):
        for _ in range(25):
            assert answer_of(server, "/health").status_code == 200
            assert answer_of(server).status_code == 503
    assert server.terminate() == 0
