"""Readers that take nothing: they hold up neither the job, nor others, nor the server's end."""

import contextlib
import socket

import pytest

from support import projects
from support.raw_http import established

pytestmark = pytest.mark.docker

LOG_BYTES = 30_000_000
LARGE = projects.shell(f"head -c {LOG_BYTES} /dev/zero | tr '\\0' '.' | fold -w 99")
PATHS = ["logs", "logs?follow=true", "stream?from_beginning=true"]


def open_and_stall(server, job_id, path):
    """A connection that asked for a job's log, has the first bytes of it, and reads no more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    request = b"GET /jobs/%s/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(request % (job_id.encode(), path))
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


@pytest.mark.parametrize("hardened", [False, True])
def test_they_do_not_hold_up_the_end_of_the_server(own_server, hardened):
    server = own_server(hardened=hardened).start().ready()
    job, _ = server.run(projects.ANY, LARGE)
    with contextlib.ExitStack() as stack:
        for path in PATHS:
            stack.enter_context(open_and_stall(server, job["job_id"], path.encode()))
        server.terminate(seconds=10)
    assert " ERROR uvicorn" not in server.log_path.read_text()


@pytest.mark.parametrize("path", PATHS[1:])
def test_they_are_let_go_after_a_while(own_server, path):
    server = own_server(send_timeout_seconds=0.5).start().ready()
    job, log = server.run(projects.ANY, LARGE)
    server.http.close()  # its own connection is not to be counted
    with open_and_stall(server, job["job_id"], path.encode()):
        server.until(lambda: established(server.port), lambda count: count == 0, "no connection")
    assert len(log) > LOG_BYTES


def test_they_do_not_hold_up_the_job_or_others(server):
    job_id = server.submit(projects.ANY, LARGE)
    server.under_way(job_id, b"....")
    with open_and_stall(server, job_id, b"stream?from_beginning=true"):
        with server.http.stream("GET", f"/jobs/{job_id}/logs?follow=true") as answer:
            size = sum(len(piece) for piece in answer.iter_raw())
        assert server.finished(job_id)["log_size"] == size > LOG_BYTES
