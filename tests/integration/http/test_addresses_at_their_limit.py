"""An address that has all the connections it may have, while the server has room for others."""

import asyncio

import httpx
import pytest

from ci_server.connections import limits as connection_limits
from support.bounded_server import address_of, serving
from support.waiting import until

pytestmark = pytest.mark.anyio

MOST = 5
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


async def application(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
async def server(monkeypatch):
    """A server to which our addresses are like any other, and one of them has what it may."""
    monkeypatch.setattr(connection_limits, "is_this_machine", lambda _: False)
    async with serving(monkeypatch, application, most_per_address=MOST) as server:
        server.opened = [await asyncio.open_connection(*address_of(server)) for _ in range(MOST)]
        yield server
        for _, writer in server.opened:
            writer.close()


async def ask(server, path, source=HERE, **options):
    host, port = address_of(server)
    transport = httpx.AsyncHTTPTransport(local_address=source)
    async with httpx.AsyncClient(transport=transport, timeout=20) as client:
        return await client.request(url=f"http://{host}:{port}{path}", **options)


async def test_its_probes_are_answered(server):
    for _ in range(3 * MOST):
        for path in ("/health", "/ready"):
            answer = await ask(server, path, method="GET")
            assert (answer.status_code, answer.text) == (200, path)


@pytest.mark.parametrize("size", [1 << 10, 10 << 20])
async def test_its_uploads_are_told(server, size):
    answer = await ask(server, "/submit", method="POST", content=bytes(size))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "too_many_connections")
    assert f"your address has reached its limit of {MOST} connections" in error["message"]
    assert int(answer.headers["Retry-After"]) >= 1


async def test_other_addresses_are_served(server):
    crowd = [await asyncio.open_connection(*address_of(server)) for _ in range(200)]
    answer = await ask(server, "/submit", ELSEWHERE, method="POST", content=bytes(10 << 20))
    assert (answer.status_code, answer.text) == (200, "/submit")
    for _, writer in crowd:
        writer.close()


async def test_it_is_served_when_it_has_closed_one_meanwhile(server):
    reader, late = await asyncio.open_connection(*address_of(server))
    late.write(b"GET /late HT")
    server.opened[0][1].close()
    await until(lambda: len(server.server_state.connections) == MOST, what="one connection less")
    late.write(b"TP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readuntil(b"/late")).startswith(b"HTTP/1.1 200")
    late.close()
