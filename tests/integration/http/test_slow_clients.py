"""A thousand clients that keep connections by being slow, and one that is not."""

import contextlib
import resource
import socket
import threading

import pytest

from support import projects
from support.raw_http import established, send

HEADS, BODIES, READERS = 500, 400, 100
PATIENCE = 8.0
LARGE = "head -c 5000000 /dev/zero | tr '\\0' x | fold -w 99"
FEW_DESCRIPTORS = 512
MANY_DESCRIPTORS = 4096

_FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="p.zip"\r\n\r\nPK'
OPENINGS = {
    "head": b"GET /health HTTP/1.1\r\nX-Slow: ",
    "body": b"POST /submit-async HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + _FORM,
}


@pytest.fixture
def descriptors():
    """A function that sets how many files this process, and those it starts, may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SlowClients:
    """Connections that get a byte now and then, or ask for a lot and take nothing of it."""

    def __init__(self, port):
        self._port = port
        self._all, self._trickling = [], []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._trickle)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        for connection in self._all:
            connection.close()

    def trickle(self, opening):
        self._trickling.append(self._connected(opening))

    def stall(self, path):
        self._connected(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode(), 4096)

    def _connected(self, opening, receive_buffer=None):
        connection = socket.socket()
        self._all.append(connection)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self._port))
        connection.sendall(opening)
        return connection

    def _trickle(self):
        while not self._ended.wait(0.2):
            for connection in list(self._trickling):
                with contextlib.suppress(OSError):
                    send(connection, b"x")


@pytest.mark.docker
def test_slow_clients_do_not_stop_a_fast_one(own_server, descriptors):
    descriptors(FEW_DESCRIPTORS)  # the server is to help itself
    settings = {"request_timeout_seconds": PATIENCE, "send_timeout_seconds": PATIENCE}
    server = own_server(hardened=True, keep_packages_days=0, **settings).start().ready()
    descriptors(MANY_DESCRIPTORS)
    large, log = server.run(projects.ANY, projects.shell(LARGE))
    assert len(log) > 5_000_000
    with SlowClients(server.port) as slow:
        for _ in range(READERS):
            slow.stall(f"/jobs/{large['job_id']}/logs?follow=true")
        for _ in range(BODIES):
            slow.trickle(OPENINGS["body"])
        for _ in range(HEADS):
            slow.trickle(OPENINGS["head"])
        assert established(server.port) >= HEADS + BODIES + READERS
        job, log = server.run(projects.ANY, ["echo", "fast"])
        assert (job["success"], log) == (True, b"fast\n"), job
        server.http.close()  # its own connection is not to be counted
        server.until(
            lambda: established(server.port), lambda count: count == 0, "no connection", 60
        )
    server.until(server.stored_files, lambda files: files == [], "nothing left of the uploads")
