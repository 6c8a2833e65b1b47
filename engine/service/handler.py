"""One connection of a client: what is asked, who may ask, and how it is answered."""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.output.results import canonical
from engine.service import events
from engine.service import metrics as metric_text
from engine.service.answers import RETRY_SECONDS, Refused
from engine.service.log import LOG
from engine.service.model_files import BODY, check_content_type
from engine.service.model_process import STOPPED, ClientGone, Outcome, Task, execute

if TYPE_CHECKING:
    from engine.service.worker import Worker

JSON = "application/json"
MAX_DIGITS = 20  # of a body's size
BLOCK = 64 << 10
DRAIN_SECONDS = 5.0
PATHS = ("/health", "/ready", "/metrics", "/capabilities", "/execute")
WITHOUT_TOKEN = ("/health", "/ready", "/metrics")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: "Worker"
    protocol_version = "HTTP/1.1"
    server_version = "engine"
    sys_version = ""
    timeout = 30  # seconds a client may take for any one read or write
    _left = 0  # bytes of the body that were not read
    _continue = False  # the client waits to be told that its body is wanted

    def do_GET(self) -> None:
        """Answer the questions."""
        self._respond(self._question)

    def do_HEAD(self) -> None:
        """The same, without the answer's body."""
        self._respond(self._question)

    def do_POST(self) -> None:
        """Run a model."""
        self._respond(self._execute)

    def handle_expect_100(self) -> bool:
        """Say that a body is wanted when it is read: not before it is clear that it will be."""
        self._continue = True
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class finds wrong with a request, in the shape of all errors."""
        status = HTTPStatus(code)
        self._refuse(Refused(status, message or status.phrase))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line a request; those of probes only where all is wanted."""
        level = logging.DEBUG if self._path in WITHOUT_TOKEN else logging.INFO
        line = ascii(self.requestline)  # no control characters
        LOG.log(level, "%s %s %d", self.address_string(), line, int(code))

    def log_message(self, format: str, *args: Any) -> None:
        """What the base class has to say."""
        LOG.info("%s %s", self.address_string(), ascii(format % args))

    @property
    def _path(self) -> str:
        return getattr(self, "path", "").partition("?")[0]

    def _respond(self, answer: Callable[[], None]) -> None:
        with self.server.answering():
            try:
                self._left = self._size()
                answer()
            except Refused as error:
                self._refuse(error)
            except (ClientGone, ConnectionError, TimeoutError) as error:
                self.close_connection = True
                LOG.info("%s has gone: %r", self.address_string(), error)
            except OSError:
                LOG.exception("internal error")
                self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))
            finally:
                self._continue = False

    # -------------------------------------------------------------- questions

    def _question(self) -> None:
        if self._path == "/execute":
            message = "send a model with POST"
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, message, {"Allow": "POST"})
        if self._path not in PATHS:
            raise Refused(HTTPStatus.NOT_FOUND, f"the paths are {', '.join(PATHS)}")
        if self._path not in WITHOUT_TOKEN:
            self._check_access()
        if self._path == "/metrics":
            self._send(HTTPStatus.OK, self.server.metrics_text().encode(), metric_text.TYPE)
            return
        answers = {
            "/health": self.server.health,
            "/ready": self.server.readiness,
            "/capabilities": self.server.capabilities,
        }
        self._send(HTTPStatus.OK, _body(answers[self._path]()))

    def _check_access(self) -> None:
        self.server.access.check(self.headers.get_all("Authorization", []))

    # -------------------------------------------------------------- models

    def _execute(self) -> None:
        if self._path != "/execute":
            raise Refused(HTTPStatus.NOT_FOUND, "send models to /execute")
        self._check_access()
        content_type = self.headers.get_content_type()
        check_content_type(content_type)
        if "Content-Length" not in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        with self.server.model_slot(), _directory() as name:
            directory = Path(name)
            self._receive(directory / BODY)
            body = self._begin_events() if events.wanted(self.headers.get("Accept")) else None
            outcome = self._run(Task(directory, content_type, self.server.limits), body)
        self._answer(outcome, body)  # the client may send its next model at once

    def _size(self) -> int:
        """The size of the body. One that is not certain could be taken for the next request."""
        texts = self.headers.get_all("Content-Length", ["0"])
        sizes = [text for text in texts if text.isascii() and text.isdigit()]
        if "Transfer-Encoding" in self.headers or len(sizes) != 1 or len(texts) != 1:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if len(sizes[0]) > MAX_DIGITS or int(sizes[0]) > self.server.limits.body:
            self._left = self.server.limits.body
            limit = f"at most {self.server.limits.body} bytes are accepted"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit)
        return int(sizes[0])

    def _receive(self, path: Path) -> None:
        """Write the body to a file: a model's client may be slow, but not for ever."""
        if self._continue:
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        deadline = time.monotonic() + self.server.limits.body_seconds
        with path.open("wb") as file:
            while self._left:
                block = self.rfile.read1(min(self._left, BLOCK))
                if not block:
                    raise Refused(HTTPStatus.BAD_REQUEST, "the request ended early")
                if time.monotonic() > deadline:
                    raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request body arrived too slowly")
                self._left -= len(block)
                file.write(block)

    def _run(self, task: Task, body: events.Chunks | None) -> Outcome:
        """Run the model, and tell of its progress where that is wanted."""
        start = time.monotonic()
        word, peak = "cancelled", None
        try:
            with closing(execute(task, self.connection, self.server.stop)) as steps:
                for step in steps:
                    if isinstance(step, Outcome):
                        word, peak = step.word, step.peak_memory
                        return step
                    if body is not None:
                        body.send(events.COMMENT if step is None else events.progress(step))
            raise AssertionError("a model has an outcome")
        finally:
            seconds = time.monotonic() - start
            self.server.metrics.count_model(word, seconds, peak)
            LOG.info("model %s after %.3f s", word, seconds)

    def _answer(self, outcome: Outcome, body: events.Chunks | None) -> None:
        if body is not None:
            name = "result" if outcome.status == HTTPStatus.OK else "error"
            body.send(events.event(name, outcome.content))
            body.end()
            return
        retry = {"Retry-After": str(RETRY_SECONDS)} if outcome.word == STOPPED else {}
        self._send(outcome.status, outcome.content + b"\n", headers=retry)

    def _begin_events(self) -> events.Chunks:
        chunked = self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or not chunked
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", events.TYPE)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Accel-Buffering", "no")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self._end_headers()
        self.server.metrics.count_request(self._known_path(), HTTPStatus.OK)
        return events.Chunks(self.wfile.write, chunked=chunked)

    # -------------------------------------------------------------- answers

    def _refuse(self, error: Refused) -> None:
        self.close_connection = True  # what is left of the body is not read
        self._send(error.status, _body(error.document), headers=error.headers)
        self._discard()

    def _send(
        self,
        status: HTTPStatus,
        content: bytes,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self._end_headers()
        self.server.metrics.count_request(self._known_path(), status)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        ending = self.server.draining or self.server.crowded or self._left > 0
        self.close_connection = self.close_connection or ending
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _known_path(self) -> str:
        return self._path if self._path in PATHS else "other"

    def _discard(self) -> None:
        """Read some of what the client still sends: a connection that is closed with bytes unread
        is reset, and the answer with it may be lost.
        """
        deadline = time.monotonic() + DRAIN_SECONDS
        left = self._left
        with suppress(OSError):
            self.connection.settimeout(DRAIN_SECONDS)
            while left > 0 and time.monotonic() < deadline:
                block = self.rfile.read1(min(left, BLOCK))
                left = left - len(block) if block else 0


def _directory() -> tempfile.TemporaryDirectory[str]:
    """For one model. What cannot be removed is no reason not to answer."""
    return tempfile.TemporaryDirectory(prefix="engine-worker-", ignore_cleanup_errors=True)


def _body(document: Mapping[str, Any]) -> bytes:
    return canonical(document) + b"\n"
