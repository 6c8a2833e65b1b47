"""How a client shows who it is, and what it makes of a refusal, against a scripted server."""

import pytest
from client_scripted_server import (
    DETAILS,
    JOB,
    RETRY_SOON,
    STREAM,
    error,
    log,
    reply,
    reply_json,
    scripted_server,
    status,
    stream,
)

from ci_client import client as library
from ci_client.client import Client
from ci_client.command import exit_codes
from ci_client.errors import AccessRefused, UnexpectedAnswer

KEY = "ci_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
INVALID = error(401, "invalid_credentials", "these credentials are not valid here")


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CI_API_KEY", raising=False)
    with scripted_server() as server:
        yield server


def test_every_request_carries_the_key(server, tmp_path):
    (tmp_path / "test_a.py").write_text("def test(): pass\n")
    server.on("POST /submit-async", reply_json({"job_id": JOB}))
    server.on("GET /jobs", reply_json([]))
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on(f"GET /jobs/{JOB}/logs", reply(200, b"x"))
    server.on(f"GET /jobs/{JOB}/artifacts", reply_json([]))
    server.on(f"POST /jobs/{JOB}/cancel", reply_json({}))
    options = {"server_url": server.url, "api_key": KEY}
    library.submit_tests_async(tmp_path, **options)
    library.list_jobs(**options)
    library.get_job(JOB, **options)
    library.cancel_job(JOB, **options)
    library.list_artifacts(JOB, **options)
    library.download_artifacts(JOB, tmp_path / "out", **options)
    assert list(library.read_log(JOB, **options)) == [b"x"]
    assert {asked.headers["authorization"] for asked in server.requests} == {f"Bearer {KEY}"}
    assert len(server.requests) == 8


def test_a_key_is_not_in_the_address_nor_sent_without_being_asked_for(server):
    server.on("GET /jobs", reply_json([]))
    library.list_jobs(server.url)
    assert "authorization" not in server.requests[0].headers


def test_a_redirect_does_not_take_the_key_elsewhere(server):
    with scripted_server() as elsewhere:
        elsewhere.on("GET /jobs", reply_json([]))
        server.on("GET /jobs", reply(302, b"", Location=f"{elsewhere.url}/jobs"))
        with pytest.raises(UnexpectedAnswer):
            library.list_jobs(server.url, api_key=KEY)
        assert elsewhere.requests == []


def refused(server, **options):
    with pytest.raises(AccessRefused) as told:
        library.list_jobs(server.url, **options)
    assert KEY not in str(told.value)
    assert exit_codes.of_error(told.value) == exit_codes.USAGE
    return told.value


def test_a_server_that_asks_who_we_are(server):
    server.on("GET /jobs", error(401, "unauthenticated", "who are you?"))
    told = refused(server)
    assert told.code == "unauthenticated"
    assert f"`ci login --server {server.url}`, or set CI_API_KEY" in told.message


def test_a_key_that_is_worth_nothing(server):
    server.on("GET /jobs", INVALID)
    told = refused(server, api_key=KEY)
    assert told.code == "invalid_credentials"
    assert "unknown there, expired or revoked" in told.message


def test_a_role_that_is_not_enough(server):
    server.on("GET /jobs", error(403, "forbidden", "ask an administrator for another role"))
    assert refused(server, api_key=KEY).message == "ask an administrator for another role"


@pytest.mark.parametrize("code", [401, 403])
def test_a_proxy_that_does_not_let_us_through(server, code):
    server.on("GET /jobs", reply(code, b"<html>"))
    assert refused(server, api_key=KEY).http_status == code


def test_a_key_that_is_revoked_while_a_job_is_watched(server):
    wire = (RETRY_SOON, status("running", 0), log("hello\n", 6))
    server.on(STREAM, stream(*wire), INVALID)
    seen = []
    with Client(server.url, api_key=KEY) as client, pytest.raises(AccessRefused):
        seen.extend(event["type"] for event in client.follow(JOB, from_beginning=True))
    assert seen == ["status", "log"]
    assert len(server.asked(STREAM)) == 2


def test_a_key_that_is_revoked_while_a_log_is_read(server):
    server.on(f"GET /jobs/{JOB}/logs", INVALID)
    with Client(server.url, api_key=KEY) as client, pytest.raises(AccessRefused):
        list(client.read_log(JOB))
    assert len(server.requests) == 1
