"""uvicorn in the test's own process, with our connections and an application of the test's own."""

import asyncio
import contextlib

import uvicorn

from ci_server.access.auth.addresses import TrustedProxies
from ci_server.connections import protocol as http_protocol
from ci_server.connections.protocol import BoundedHttpProtocol, HttpBounds
from support.waiting import until

USUAL = {
    "request_timeout": 30,
    "send_timeout": 30,
    "most": 100,
    "most_per_address": 100,
    "proxies": TrustedProxies(),
}


@contextlib.asynccontextmanager
async def serving(monkeypatch, application, **bounds):
    """The server; `bounds` are those of HttpBounds that matter."""
    monkeypatch.setattr(http_protocol, "_bounds", lambda: HttpBounds(**{**USUAL, **bounds}))
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http=BoundedHttpProtocol,
        ws="none",
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


def address_of(server):
    """Where it listens: host and port."""
    return server.servers[0].sockets[0].getsockname()
