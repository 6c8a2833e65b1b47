"""A client of an application's WebSockets, without a network."""

import asyncio
import json
from contextlib import asynccontextmanager

CLIENT = ("192.0.2.7", 50000)


class Refused:
    """The answer to a WebSocket that was not accepted."""

    def __init__(self, start, body):
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = json.loads(body["body"])

    @property
    def code(self):
        return self.status, self.body["error"]["code"]


class Socket:
    """One WebSocket: `answer` is its first message, and what is put into `incoming` it receives."""

    def __init__(self):
        self.incoming, self.sent = asyncio.Queue(), asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})

    async def next(self):
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def receive_json(self):
        return json.loads((await self.next())["text"])

    def send_text(self, text):
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})


@asynccontextmanager
async def connected(app, path, headers=None, query=""):
    """The accepted WebSocket, or what refused it; the application has ended afterwards."""
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in (headers or {}).items()
        ],
        "client": CLIENT,
        "server": ("192.0.2.1", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    socket = Socket()
    task = asyncio.create_task(app(scope, socket.incoming.get, socket.sent.put))
    try:
        first = await socket.next()
        if first["type"] == "websocket.http.response.start":
            yield Refused(first, await socket.next())
        else:
            assert first["type"] == "websocket.accept", first
            yield socket
        socket.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
