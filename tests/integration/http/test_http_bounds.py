"""`python -m ci_server`: heads of bounded size and time, bodies at a pace, a bounded number."""

import contextlib
import os
import time

import pytest

from support import projects
from support.live_server import ROOT, LiveServer
from support.raw_http import connected, parsed, refused, rest, send

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
PATIENCE = 1.0
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /submit-async HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="p.zip"\r\n\r\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hardened")
    settings = {"request_timeout_seconds": PATIENCE, "send_timeout_seconds": 1}
    with LiveServer(directory, hardened=True, environment=NO_ENGINE, **settings) as server:
        yield server.start()


def trickled(connection, piece, pause=PATIENCE / 20):
    """Send the same again and again, far slower than one may, until the server has enough."""
    sent = 0
    connection.settimeout(pause)
    while True:
        if not send(connection, piece):
            return rest(connection)
        sent += 1
        with contextlib.suppress(TimeoutError):
            connection.settimeout(pause)
            first = connection.recv(1 << 16)
            connection.settimeout(20)
            return first + rest(connection) if first else b""
        assert sent < 400, "nobody stops it"


# ------------------------------------------------------------------ heads


def test_headers_that_are_too_large_are_refused(server):
    with connected(server) as connection:
        send(connection, HEALTH[:-2] + b"X-Large: %s\r\n\r\n" % (b"x" * 70_000))
        assert "65536 bytes" in refused(rest(connection), 431, "headers_too_large")


def test_many_small_headers_are_refused(server):
    with connected(server) as connection:
        send(connection, HEALTH[:-2] + b"X-Small: x\r\n" * 10_000)
        refused(rest(connection), 431, "headers_too_large")


def test_a_header_that_never_ends_is_not_kept(server):
    with connected(server) as connection:
        assert send(connection, HEALTH[:-2] + b"X-Large: ")
        taken = sum(send(connection, b"x" * (1 << 20)) for _ in range(30))
        assert taken < 30
        assert rest(connection)[:12] in (b"", b"HTTP/1.1 431")


def test_an_address_that_is_too_long_is_refused(server):
    with connected(server) as connection:
        send(connection, b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 17_000))
        refused(rest(connection), 414, "url_too_long")


def test_headers_of_an_ordinary_size_are_fine(server):
    with connected(server) as connection:
        send(
            connection, HEALTH[:-2] + b"Connection: close\r\nX-Large: %s\r\n\r\n" % (b"x" * 60_000)
        )
        assert parsed(rest(connection))[0] == 200


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(server):
    with connected(server) as connection:
        send(connection, b"GET /health HTTP/1.1\r\nX-Slow: ")
        refused(trickled(connection, b"x"), 408, "request_timeout")


def test_a_connection_that_says_nothing_is_closed_without_a_word(server):
    with connected(server) as connection:
        assert rest(connection) == b""


@pytest.mark.parametrize("idle", [b"", b"\r\n"])
def test_a_kept_connection_that_says_nothing_more_is_closed(server, idle):
    with connected(server) as connection:
        send(connection, HEALTH)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(1 << 16)
        assert (trickled(connection, idle, 0.1) if idle else rest(connection)) == b""


def test_what_is_not_http_is_refused(server):
    with connected(server) as connection:
        send(connection, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        refused(rest(connection), 400, "bad_request")


# ------------------------------------------------------------------ bodies


@pytest.mark.parametrize(
    ("length", "form", "piece"),
    [
        (b"Content-Length: 100000", FORM, b"P"),
        (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(FORM), FORM), b"1\r\nP\r\n"),
    ],
)
def test_a_body_that_comes_byte_by_byte_is_not_waited_for(server, length, form, piece):
    with connected(server) as connection:
        send(connection, POST + length + b"\r\n\r\n" + form)
        refused(trickled(connection, piece), 408, "request_timeout")
    server.until(server.stored_files, lambda files: files == [], "nothing left of the upload")


def test_a_body_that_stops_is_not_waited_for(server):
    with connected(server) as connection:
        send(connection, POST + b"Content-Length: 100000\r\n\r\n" + FORM + b"PK" * 1000)
        refused(rest(connection), 408, "request_timeout")
    server.until(server.stored_files, lambda files: files == [], "nothing left of the upload")


def test_a_body_that_nobody_reads_is_not_waited_for_either(server):
    with connected(server) as connection:
        send(
            connection, b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
        )
        assert trickled(connection, b"x").startswith(b"HTTP/1.1 200")


def test_trailers_and_chunk_extensions_are_bounded(server):
    with connected(server) as connection:
        head = HEALTH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
        send(connection, head + b"1\r\nx\r\n0\r\nX-Trailer: ")
        taken = sum(send(connection, b"x" * (1 << 20)) for _ in range(30))
        assert taken < 30


def test_an_upload_that_waits_for_100_continue_is_asked_for(server):
    with connected(server) as connection:
        send(connection, POST + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        refused(rest(connection), 408, "request_timeout")


def test_a_form_that_goes_on_after_its_end_is_refused(server):
    form = FORM + b"PK\r\n--x--\r\n"
    with connected(server) as connection:
        send(connection, POST + b"Transfer-Encoding: chunked\r\n\r\n")
        send(connection, b"%x\r\n%s\r\n" % (len(form), form))
        piece = b"10000\r\n" + b"y" * (1 << 16) + b"\r\n"
        for _ in range(40):
            send(connection, piece)
        answer = b""
        while b"continues after the end of the form" not in answer:
            content = connection.recv(1 << 16)
            assert content, answer
            answer += content


# ------------------------------------------------------------------ answers


def test_requests_on_one_connection_wait_in_a_short_line(server):
    with connected(server) as connection:
        send(connection, HEALTH * 1000)
        refused(rest(connection), 429, "too_many_requests")
    with connected(server) as connection:
        send(connection, HEALTH * 8 + HEALTH[:-2] + b"Connection: close\r\n\r\n")
        assert rest(connection).count(b"HTTP/1.1 200") == 9


def test_the_number_of_connections_is_bounded(own_server):
    server = own_server(hardened=True, environment=NO_ENGINE, max_connections=20).start()
    server.http.close()
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connected(server)) for _ in range(20)]
        with connected(server) as connection:
            message = refused(rest(connection), 503, "too_many_connections")
            assert "its limit of 20 connections" in message
        kept.pop().close()

        def another():
            with connected(server) as connection:
                send(connection, HEALTH)
                return connection.recv(1 << 16)

        server.until(another, lambda answer: answer.startswith(b"HTTP/1.1 200"))


def test_several_workers_bound_their_connections_too(own_server):
    settings = {"request_timeout_seconds": PATIENCE, "max_connections": 20}
    server = own_server(hardened=True, environment=NO_ENGINE, **settings).start("--workers", "2")
    with connected(server) as connection:
        send(connection, HEALTH[:-2])
        refused(trickled(connection, b""), 408, "request_timeout")
    assert server.terminate() == 0


def test_workers_that_take_long_to_start_are_waited_for(own_server, tmp_path):
    """As on a busy machine; uvicorn by itself gives them five seconds."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\nif 'spawn_main' in str(sys.orig_argv):\n    time.sleep(7)\n"
    )
    environment = {**NO_ENGINE, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    server = own_server(hardened=True, environment=environment).start("--workers", "2")
    assert server.log_path.read_text().count("Started server process") in (1, 2)
    assert "died" not in server.log_path.read_text()


@pytest.mark.docker
def test_a_stream_is_not_cut_for_what_is_slow_on_purpose(own_server):
    """The clocks are for requests; a job may be silent for as long as it likes."""
    settings = {"request_timeout_seconds": 0.3, "send_timeout_seconds": 1}
    server = own_server(hardened=True, **settings).start().ready()
    job_id = server.submit(projects.ANY, projects.shell("sleep 2; echo done"))
    begin = time.monotonic()
    with server.http.stream("GET", f"/jobs/{job_id}/logs?follow=true") as answer:
        assert b"".join(answer.iter_raw()) == b"done\n"
    assert time.monotonic() - begin > 1
