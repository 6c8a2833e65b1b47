"""A real HTTP server that answers as a test tells it to, and breaks off where it is told to."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import parse_qsl, urlsplit

JOB = "0b5d6f3e-9d0a-4c39-8f0e-3f1d2c4b5a69"
STREAM = f"GET /jobs/{JOB}/stream"
CANCEL = f"POST /jobs/{JOB}/cancel"
DETAILS = {
    "job_id": JOB, "name": "test", "status": "running", "success": None, "exit_code": None,
    "start_time": "2026-01-02T03:04:05.678Z", "end_time": None, "reason": None,
    "message": None, "command": ["python", "-m", "pytest", "-k", "a b"], "log_size": None,
}  # fmt: skip
FINISHED = DETAILS | {
    "status": "completed", "success": False, "exit_code": 1, "reason": "exit",
    "end_time": "2026-01-02T03:04:08.878Z", "log_size": 6,
}  # fmt: skip


@dataclass
class Asked:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), headers)
        answers = self.server.routes.get(f"{self.command} {url.path}")
        answer = answers.pop(0) if answers and len(answers) > 1 else (answers or [missing])[0]
        if not getattr(answer, "leaves_body", False):
            asked.body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.note(asked)
        answer(self)

    do_GET = do_POST = do_DELETE = _serve

    def begin(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def reset(self) -> None:
        """End the connection as a crash does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True


Answer = Callable[[Handler], None]


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, list[Answer]] = {}
        self.requests: list[Asked] = []
        self.released = threading.Event()
        """Set at the end of the test, for answers that wait."""
        self._arrived = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, route: str, *answers: Answer) -> None:
        """Give these answers in turn; the last one for ever."""
        self.routes[route] = list(answers)

    def note(self, asked: Asked) -> None:
        with self._arrived:
            self.requests.append(asked)
            self._arrived.notify_all()

    def wait_for(self, route: str, timeout: float = 60) -> Asked:
        """The first request for this route."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.asked(route), timeout), self.requests
            return self.asked(route)[0]

    def asked(self, route: str) -> list[Asked]:
        return [a for a in self.requests if f"{a.method} {a.path}" == route]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are a part of the tests


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def missing(handler: Handler) -> None:
    error(404, "not_found", "nothing here")(handler)


def reply(
    status: int, body: bytes, content_type: str = "application/json", **headers: str
) -> Answer:
    def answer(handler: Handler) -> None:
        handler.begin(status, Content_Type=content_type, Content_Length=str(len(body)), **headers)
        handler.wfile.write(body)

    return answer


def reply_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return reply(status, json.dumps(value).encode(), **headers)


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    return reply_json({"error": {"code": code, "message": message}}, status, **headers)


def stream(*pieces: bytes, then: str = "drop", chunked: bool = True) -> Answer:
    """An event stream of these writes, that then breaks ("drop", "reset"), ends, or hangs."""

    def answer(handler: Handler) -> None:
        how = {"Transfer_Encoding": "chunked"} if chunked else {"Connection": "close"}
        handler.begin(200, Content_Type="text/event-stream; charset=utf-8", **how)
        for piece in pieces:
            if chunked:
                handler.chunk(piece)
            else:
                handler.wfile.write(piece)
        if then == "end" and chunked:
            # The client may ask again on this connection: closing it now, unannounced,
            # would meet its next request.
            handler.wfile.write(b"0\r\n\r\n")
            return
        if then == "reset":
            handler.reset()
        elif then == "hang":
            hang(handler)
        handler.close_connection = True

    return answer


def hang(handler: Handler) -> None:
    """Say nothing more until the client goes away."""
    handler.connection.settimeout(30)
    handler.rfile.read(1)
    handler.close_connection = True


def event(value: Any, offset: int | str | None = None) -> bytes:
    head = b"" if offset is None else b"id: %s\r\n" % str(offset).encode()
    return head + b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"


RETRY_SOON = b"retry: 10\r\n\r\n"
COMPLETE = {
    "type": "complete",
    "job_id": JOB,
    "success": True,
    "status": "completed",
    "exit_code": 0,
    "reason": "exit",
    "message": "",
}


def complete(**changes: Any) -> bytes:
    return event({**COMPLETE, **changes})


def log(text: str, end: int) -> bytes:
    return event({"type": "log", "data": text}, end)


def status(name: str, offset: int) -> bytes:
    return event({"type": "status", "status": name}, offset)


@dataclass
class StoredLog:
    """A log served as the real server does: from the offset that is asked for."""

    content: bytes
    piece: int = 1000
    cuts: list[int] = field(default_factory=list)
    """After how many bytes on the wire each connection breaks; the last one is whole."""

    def __call__(self, handler: Handler) -> None:
        start = int(handler.headers.get("Last-Event-ID", "0"))
        wire = RETRY_SOON + status("running", start)
        for at in range(start, len(self.content), self.piece):
            part = self.content[at : at + self.piece]
            wire += log(part.decode("latin-1"), at + len(part))
        wire += complete()
        cut = self.cuts.pop(0) if self.cuts else len(wire)
        stream(wire[:cut])(handler)


def read_until(pipe: IO[bytes], wanted: bytes) -> bytes:
    """The lines up to the one with `wanted` in it."""
    seen = b""
    while wanted not in seen:
        line = pipe.readline()
        assert line, f"{wanted!r} did not come, but {seen!r}"
        seen += line
    return seen


def answer_commands(server):
    """Accept a job, tell of it, and let it be cancelled."""
    server.on("POST /submit-async", reply_json({"job_id": JOB}, 202))
    server.on(f"GET /jobs/{JOB}", reply_json(DETAILS))
    server.on(CANCEL, reply_json({}, 202))
    return server
