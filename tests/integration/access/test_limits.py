"""Limits of a real server: which are told, and given back however a request ends."""

import contextlib
import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support import projects
from support.archives import zip_bytes
from support.command_line import CommandLine
from support.live_server import LiveServer

STREAMS = 2
UPLOADS = 1
BIG = 8_000_000


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A server of few streams and uploads, which runs nothing."""
    settings = {
        "controller": "external",
        "limit_local": True,
        "requests_per_second_per_user": 0,
        "requests_per_second_per_address": 0,
        "max_streams_per_user": STREAMS,
        "max_uploads_per_user": UPLOADS,
        "send_timeout_seconds": 0.5,
        "request_timeout_seconds": 600,  # an upload under way outlasts what is tried meanwhile
    }
    with LiveServer(tmp_path_factory.mktemp("limited"), **settings) as server:
        yield server.start()


@pytest.fixture(scope="module")
def job_id(limited):
    """A job that waits for ever."""
    return limited.submit(projects.ANY)


def refused(answer, code, status=429):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    return error["message"]


def free_streams(server, job_id):
    """How many streams may still be opened."""
    with contextlib.ExitStack() as stack:
        for number in range(STREAMS + 1):
            stream = server.http.stream("GET", f"/jobs/{job_id}/stream")
            if stack.enter_context(stream).status_code == 429:
                return number
    return None


def watch(stack, server, *request, **options):
    """Open a stream. Those that a test just closed may still be ending."""

    def opened():
        return stack.enter_context(server.http.stream(*request, **options)).status_code

    server.until(opened, (200).__eq__, "a stream")


def all_free(server, job_id):
    server.until(lambda: free_streams(server, job_id), STREAMS.__eq__, "all streams free again")


# ------------------------------------------------------------------ streams


@pytest.mark.parametrize("path", ["stream", "logs?follow=true"])
def test_so_many_streams_at_once(limited, job_id, path):
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            watch(stack, limited, "GET", f"/jobs/{job_id}/{path}")
        for more in ("stream", "logs?follow=true", "logs"):
            answer = limited.http.get(f"/jobs/{job_id}/{more}")
            message = refused(answer, "too_many_streams")
            assert "you have 2 streams and downloads" in message
            assert "CI_MAX_STREAMS_PER_USER" in message
            assert int(answer.headers["Retry-After"]) >= 1
        refused(post(limited, "/submit"), "too_many_streams")
        assert limited.http.get(f"/jobs/{job_id}").status_code == 200
    all_free(limited, job_id)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("jobs/none/stream", 404),
        ("jobs/{}/stream?offset=-1", 400),
        ("jobs/{}/stream?offset=x", 400),
        ("jobs/{}/logs", 200),
        ("jobs/{}/logs?tail=3", 200),
        ("jobs/{}/logs?tail=-1", 400),
        ("jobs/{}/artifacts/none", 404),
    ],
)
def test_requests_that_end_by_themselves_hold_nothing(limited, job_id, path, status):
    url = "/" + path.format(job_id)
    limited.until(lambda: limited.http.get(url), lambda answer: answer.status_code == status)
    for _ in range(STREAMS + 1):
        assert limited.http.get(url).status_code == status
    answer = limited.http.get(f"/jobs/{job_id}/logs", headers={"Range": "bytes=9-"})
    assert answer.status_code == 416
    all_free(limited, job_id)


@pytest.mark.parametrize("how", ["close", "reset", "before the answer"])
def test_clients_that_go_away_hold_nothing(limited, job_id, how):
    for _ in range(2 * STREAMS):
        connection = socket.create_connection(("127.0.0.1", limited.port), timeout=20)
        connection.sendall(
            f"GET /jobs/{job_id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        if how != "before the answer":
            connection.recv(1000)
        if how == "reset":
            linger = b"\x01\0\0\0\0\0\0\0"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
        all_free(limited, job_id)


def test_a_watched_submission_is_a_stream_until_its_end(limited, job_id):
    for path in ("/submit", "/submit-stream"):
        with contextlib.ExitStack() as stack:
            watch(stack, limited, "POST", path, **limited.form(projects.ANY))
            limited.until(lambda: free_streams(limited, job_id), (STREAMS - 1).__eq__, "one held")
        all_free(limited, job_id)
    for _ in range(STREAMS + 1):
        answer = limited.until(
            lambda: post(limited, "/submit", b"no zip"), lambda found: found.status_code != 429
        )
        refused(answer, "invalid_package", 400)
    all_free(limited, job_id)


@pytest.mark.docker
def test_a_stream_that_comes_to_its_end_is_given_back(own_server):
    server = own_server(limit_local=True, max_streams_per_user=STREAMS).start().ready()
    done = server.submit(projects.ANY, ["true"])
    with server.http.stream("GET", f"/jobs/{done}/stream") as answer:
        assert b"complete" in b"".join(answer.iter_raw())
    server.finished(done)
    for _ in range(STREAMS + 1):
        assert server.http.get(f"/jobs/{done}/stream").status_code == 200


# ------------------------------------------------------------------ uploads


def post(server, path="/submit-async", content=projects.ANY):
    return server.http.post(path, **server.form(content))


@contextlib.contextmanager
def an_upload_under_way(server):
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="p.zip"\r\n\r\n'
    before = len(server.stored_files())
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            b"POST /submit-async HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + part + bytes(200_000)
        )
        server.until(lambda: len(server.stored_files()) > before, what="an upload on its way")
        yield
    server.until(lambda: len(server.stored_files()) == before, what="its end")


def test_so_many_uploads_at_once(limited):
    with an_upload_under_way(limited):
        answer = post(limited)
        assert "you have 1 uploads" in refused(answer, "too_many_uploads")
        assert int(answer.headers["Retry-After"]) >= 1
    limited.until(lambda: post(limited), lambda answer: answer.status_code == 200, "room again")


def test_a_failed_upload_is_given_back(limited):
    for content in (b"no zip", zip_bytes({"../x": "y"})):
        for _ in range(UPLOADS + 1):
            refused(post(limited, content=content), "invalid_package", 400)
    assert post(limited).status_code == 200


def test_the_answer_comes_before_the_body(limited):
    head = (
        b"POST /submit-async HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with (
        an_upload_under_way(limited),
        socket.create_connection(("127.0.0.1", limited.port), timeout=20) as connection,
    ):
        connection.sendall(head)
        assert b" 429 " in connection.recv(4096).splitlines()[0]


@pytest.fixture(scope="module")
def big_project(tmp_path_factory):
    directory = tmp_path_factory.mktemp("big")
    (directory / "a.bin").write_bytes(bytes(range(256)) * (BIG // 256))
    content = zip_bytes({"a.bin": bytes(BIG)}, compression=0)
    (directory / "big.zip").write_bytes(content)
    return directory


def test_programs_see_the_answer_although_they_are_still_sending(limited, big_project):
    content = (big_project / "big.zip").read_bytes()
    assert len(content) > BIG
    with an_upload_under_way(limited):
        with httpx.Client(base_url=limited.url, trust_env=False, timeout=30) as http:
            for _ in range(3):
                refused(http.post("/submit-async", **limited.form(content)), "too_many_uploads")
        for expect in ("Expect:", "Expect: 100-continue"):
            done = subprocess.run(
                ["curl", "-sS", "--noproxy", "*", "-H", expect, "-F",
                 f"file=@{big_project / 'big.zip'}", f"{limited.url}/submit-async"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert json.loads(done.stdout)["error"]["code"] == "too_many_uploads", done.stderr


def test_the_other_http_protocol_does_the_same(own_server, big_project):
    server = own_server(controller="external", max_live_jobs_per_user=1).start("--http", "h11")
    assert post(server).status_code == 200
    content = (big_project / "big.zip").read_bytes()
    for _ in range(3):
        refused(post(server, content=content), "too_many_jobs")
    assert len(server.stored_files()) == 1


def test_the_command_tells_and_exits_with_its_code(limited, big_project, tmp_path):
    command_line = CommandLine(limited.url, tmp_path)
    with an_upload_under_way(limited):
        done = command_line.run("submit", "--path", str(big_project))
    command_line.close()
    assert done.code == 3
    assert "CI_MAX_UPLOADS_PER_USER" in done.err
    assert "try again" in done.err.lower()


# ------------------------------------------------------------------ rates, and failed credentials


def test_the_rate_of_a_user(own_server):
    server = own_server(
        controller="external",
        limit_local=True,
        requests_per_second_per_user=0.01,
        request_burst_seconds=300,
    ).start()
    for _ in range(3):
        assert server.http.get("/jobs").status_code == 200
    answer = server.http.get("/jobs")
    assert "CI_REQUESTS_PER_SECOND_PER_USER" in refused(answer, "rate_limited")
    assert 90 <= int(answer.headers["Retry-After"]) <= 100
    assert server.http.get("/health").status_code == 200


def test_the_rate_of_an_address_holds_for_those_without_identity(own_server):
    server = own_server(
        controller="external",
        limit_local=True,
        requests_per_second_per_address=0.01,
        request_burst_seconds=300,
    ).start()
    for _ in range(3):
        assert server.http.get("/ready").status_code == 503
    message = refused(server.http.get("/ready"), "rate_limited")
    assert "CI_REQUESTS_PER_SECOND_PER_ADDRESS" in message
    refused(server.http.get("/jobs"), "rate_limited")
    assert server.http.get("/health").status_code == 200


def test_failed_credentials_of_an_address(own_server):
    server = own_server(controller="external", limit_local=True).start()
    guess = {"Authorization": "Bearer ci_guess"}
    answers = [server.http.get("/jobs", headers=guess) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    message = refused(answers[-1], "too_many_attempts")
    assert "CI_FAILED_LOGINS_PER_MINUTE" in message
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6
    assert server.http.get("/jobs").status_code == 200


def test_the_local_user_is_not_limited_by_default(own_server):
    server = own_server(
        controller="external",
        requests_per_second_per_user=0.01,
        requests_per_second_per_address=0.01,
        request_burst_seconds=1,
        max_streams_per_user=1,
        max_uploads_per_user=1,
        failed_logins_per_minute=1,
    ).start()
    guess = {"Authorization": "Bearer ci_guess"}
    assert {server.http.get("/jobs").status_code for _ in range(20)} == {200}
    assert {server.http.get("/jobs", headers=guess).status_code for _ in range(20)} == {401}


# ------------------------------------------------------------------ jobs, and stored bytes


def test_live_jobs_are_exact_over_two_workers(own_server):
    server = own_server(controller="external", max_live_jobs_per_tenant=10)
    server.start("--workers", "2")
    form = server.form(projects.ANY)

    def submit(_):
        # A connection each, so that both workers get some.
        return httpx.post(f"{server.url}/submit-async", timeout=60, trust_env=False, **form)

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(submit, range(50)))
    taken = [answer for answer in answers if answer.status_code == 200]
    assert len(taken) == server.rows() == 10
    assert len(server.stored_files()) == 10
    others = [answer for answer in answers if answer.status_code != 200]
    messages = {refused(answer, "too_many_jobs") for answer in others}
    assert len(messages) == 1
    assert "has 10 queued and running jobs, and 10 are allowed" in messages.pop()
    server.http.post(f"/jobs/{taken[0].json()['job_id']}/cancel")
    refused(post(server), "too_many_jobs")


def test_stored_bytes_and_usage(own_server):
    server = own_server(controller="external", max_stored_mb_per_tenant=1).start()
    half = zip_bytes({"a": bytes(600_000)}, compression=0)
    assert post(server, content=half).status_code == 200
    message = refused(post(server, content=half), "quota_exceeded", 403)
    assert "stores 0.6 MiB" in message
    assert "1 MiB are allowed (CI_MAX_STORED_MB_PER_TENANT)" in message
    usage = server.http.get("/usage").json()
    assert usage["limits"] == {
        "running_jobs_per_tenant": None,
        "live_jobs_per_tenant": None,
        "live_jobs_per_user": None,
        "stored_bytes_per_tenant": 1 << 20,
    }
    (tenant,) = usage["tenants"]
    assert tenant["tenant"] == "local"
    assert tenant["jobs"] == {"queued": 1, "initializing": 0, "running": 0, "finished": 0}
    assert tenant["bytes"]["packages"] == tenant["bytes"]["total"] == len(half)
    assert len(server.stored_files()) == 1
