"""Answers that nobody takes, as far as the application is concerned long finished."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn

from ci_server import http_protocol
from ci_server.auth.addresses import TrustedProxies
from ci_server.http_protocol import BoundedHttpProtocol, HttpBounds
from support.waiting import until

pytestmark = pytest.mark.anyio

LARGE = b"x" * (16 << 20)


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LARGE})


@contextlib.asynccontextmanager
async def serving(monkeypatch, **bounds):
    """uvicorn in this process, with our connections and an application that answers at once."""
    usual = {
        "request_timeout": 30,
        "send_timeout": 30,
        "most": 100,
        "most_per_address": 100,
        "proxies": TrustedProxies(),
    }
    monkeypatch.setattr(http_protocol, "_bounds", lambda: HttpBounds(**{**usual, **bounds}))
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http=BoundedHttpProtocol,
        loop="none",
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


@contextlib.contextmanager
def stalled(server):
    """A reader that asked, and takes no byte."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.servers[0].sockets[0].getsockname())
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield connection


async def is_answered(server):
    await until(lambda: server.server_state.total_requests, what="the answer given")


async def test_its_reader_is_let_go_by_the_kernel(monkeypatch):
    async with serving(monkeypatch, send_timeout=0.5) as server:
        with stalled(server):
            await is_answered(server)
            await until(lambda: not server.server_state.connections, what="no connection")


async def test_it_does_not_hold_up_the_end_of_the_server(monkeypatch):
    async with serving(monkeypatch) as server:
        with stalled(server):
            await is_answered(server)
            assert server.server_state.connections
            server.should_exit = True
            await until(lambda: not server.server_state.connections, what="no connection")
