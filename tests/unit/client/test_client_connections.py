"""Which connections the client uses again."""

import inspect
from types import SimpleNamespace

import httpcore._sync.http11
import uvicorn
from client_scripted_server import reply_json

from ci_client.library.transport import open_http

SERVER_SECONDS = inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default


def test_no_connection_that_the_server_is_about_to_close_is_used_again(server, monkeypatch):
    now, connections = 0.0, []

    def answer(handler):
        connections.append(handler.client_address)
        reply_json({})(handler)

    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(httpcore._sync.http11, "time", clock)
    server.on("GET /limits", answer)
    with open_http(server.url) as http:
        for idle in (0, SERVER_SECONDS / 5, SERVER_SECONDS * 4 / 5):
            now += idle
            http.get("/limits")
    assert connections[0] == connections[1] != connections[2]
