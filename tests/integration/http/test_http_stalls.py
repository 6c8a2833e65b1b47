"""Answers that nobody takes, as far as the application is concerned long finished."""

import contextlib
import socket

import pytest

from support.bounded_server import address_of, serving
from support.waiting import until

pytestmark = pytest.mark.anyio

LARGE = b"x" * (16 << 20)


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LARGE})


@contextlib.contextmanager
def stalled(server):
    """A reader that asked, and takes no byte."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address_of(server))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield connection


async def is_answered(server):
    await until(lambda: server.server_state.total_requests, what="the answer given")


async def test_its_reader_is_let_go_by_the_kernel(monkeypatch):
    async with serving(monkeypatch, application, send_timeout=0.5) as server:
        with stalled(server):
            await is_answered(server)
            await until(lambda: not server.server_state.connections, what="no connection")


async def test_it_does_not_hold_up_the_end_of_the_server(monkeypatch):
    async with serving(monkeypatch, application) as server:
        with stalled(server):
            await is_answered(server)
            assert server.server_state.connections
            server.should_exit = True
            await until(lambda: not server.server_state.connections, what="no connection")
