"""A small HTTP worker: send it a small model, get its result.

    GET  /health        {"status", "memory_bytes", "peak_memory_bytes", "uptime_seconds", "running"}
    GET  /capabilities  what `engine.valuation.capabilities` says
    POST /execute       a model, as a zip (application/zip), or as JSON (application/json):
                        {"config": {…}, "files": {"policies.csv": "policy_id,…", …}}

The answer to a model is its `results.json`. An error is {"error": {"code", "message"}}; for a
model that is not valid, with the list of its problems. Models are run one after the other; one
that comes while another runs is told to come again. Hooks are Python code: they are refused
unless they were allowed when the worker was started. It listens on this machine only, by default;
it has no users and no passwords.
"""

import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from engine.errors import EngineError, HookError, ModelError, Problem, RequestError
from engine.model.config import NAMES, Config, load_config
from engine.model.package import opened
from engine.output.results import canonical
from engine.output.run import Changes, Request, run
from engine.valuation.capabilities import capabilities
from engine.valuation.machine import current_memory, peak_memory

MAX_DIGITS = 20  # of a body's size
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
STATUSES: tuple[tuple[type[EngineError], HTTPStatus], ...] = (
    (ModelError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (HookError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (RequestError, HTTPStatus.BAD_REQUEST),
    (EngineError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


@dataclass(frozen=True)
class WorkerLimits:
    """What a model may ask for; sizes in bytes, of the request and of what it unpacks to."""

    body: int = 32 << 20
    unpacked: int = 256 << 20
    scenarios: int = 100_000
    max_memory: int = 256 << 20
    threads: int | None = None
    allow_hooks: bool = False


class Worker(ThreadingHTTPServer):
    """The server; `server_address` says where it listens."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], limits: WorkerLimits) -> None:
        super().__init__(address, Handler)
        self.limits = limits
        self.started = time.monotonic()
        self.busy = threading.Lock()


class Refused(Exception):
    """The request is answered with an error before a model is looked at."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Worker
    protocol_version = "HTTP/1.1"
    server_version = "engine"
    sys_version = ""
    timeout = 30  # seconds a client may take for any one read or write

    def do_GET(self) -> None:
        """Answer the questions."""
        answers = {"/health": self._health, "/capabilities": capabilities}
        answer = answers.get(self.path)
        if answer is not None:
            self._send(HTTPStatus.OK, answer())
        elif self.path == "/execute":
            self._refuse(Refused(HTTPStatus.METHOD_NOT_ALLOWED, "send a model with POST"))
        else:
            self._refuse(Refused(HTTPStatus.NOT_FOUND, "there is /health, /capabilities, /execute"))

    def do_POST(self) -> None:
        """Run a model."""
        try:
            if self.path != "/execute":
                raise Refused(HTTPStatus.NOT_FOUND, "models are sent to /execute")
            with _model_package(self._content_type(), self._body(), self.server.limits) as path:
                document = self._execute(path)
        except Refused as error:
            self._refuse(error)
        except EngineError as error:
            status = next(status for kind, status in STATUSES if isinstance(error, kind))
            self._send(status, error_document(error))
        except OSError as error:
            self._internal(error)
        else:
            self._send(HTTPStatus.OK, document)

    def log_message(self, format: str, *args: Any) -> None:
        """One line a request on standard error."""
        sys.stderr.write(f"{self.address_string()} {format % args}\n")

    def _execute(self, path: Path) -> dict[str, Any]:
        limits = self.server.limits
        if not self.server.busy.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "another model is running: come again")
        try:
            with opened(path, max_unpacked=limits.unpacked) as root:
                _check_size(load_config(root), limits)
                changes = Changes(threads=limits.threads, max_memory=limits.max_memory)
                request = Request(root, changes, allow_hooks=limits.allow_hooks)
                return run(request).document
        except MemoryError as error:
            raise RequestError("the model needs more memory than there is") from error
        finally:
            self.server.busy.release()

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "memory_bytes": current_memory(),
            "peak_memory_bytes": peak_memory(),
            "uptime_seconds": round(time.monotonic() - self.server.started, 3),
            "running": self.server.busy.locked(),
        }

    def _content_type(self) -> str:
        return self.headers.get_content_type()

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if not (text.isascii() and text.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        if len(text) > MAX_DIGITS or int(text) > self.server.limits.body:
            limit = f"at most {self.server.limits.body} bytes are accepted"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit)
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise Refused(HTTPStatus.BAD_REQUEST, "the request ended early")
        return body

    def _refuse(self, error: Refused) -> None:
        self.close_connection = True  # what is left of the body is not read
        code = error.status.name.lower()
        self._send(error.status, {"error": {"code": code, "message": str(error)}})

    def _internal(self, error: Exception) -> None:
        self.log_message("internal error: %r", error)
        self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))

    def _send(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        content = canonical(document) + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def error_document(error: EngineError) -> dict[str, Any]:
    """What a client is told; a model's mistakes one by one."""
    content: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, ModelError):
        content["problems"] = [vars(problem) for problem in error.problems]
    return {"error": content}


@contextmanager
def _model_package(content_type: str, body: bytes, limits: WorkerLimits) -> Iterator[Path]:
    """The model of a request: a zip as it came, or a directory of the files in a JSON text."""
    with tempfile.TemporaryDirectory(prefix="engine-worker-") as directory:
        root = Path(directory)
        if content_type == "application/zip":
            (root / "model.zip").write_bytes(body)
            yield root / "model.zip"
        elif content_type == "application/json":
            _write_files(root, body)
            yield root
        else:
            message = "send application/zip or application/json"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


def _write_files(root: Path, body: bytes) -> None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict) or not isinstance(document.get("config"), dict):
        raise Refused(HTTPStatus.BAD_REQUEST, 'the body has to be {"config": {…}, "files": {…}}')
    for name, text in files.items():
        if not FILE_NAME.fullmatch(name) or name in NAMES or not isinstance(text, str):
            raise ModelError([Problem("files", "is not a plain file's name and text", value=name)])
        (root / name).write_bytes(text.encode(errors="surrogatepass"))  # which is not UTF-8 then
    (root / NAMES[1]).write_text(json.dumps(document["config"]), encoding="utf-8")


def _check_size(config: Config, limits: WorkerLimits) -> None:
    count = config.scenarios.count
    if config.scenarios.file is None and (count or 0) > limits.scenarios:
        raise RequestError(f"at most {limits.scenarios} scenarios are run here, not {count}")
