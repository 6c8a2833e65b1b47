"""The server's log, written so that a reader that stalls cannot block the server."""

import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from ci_common.log_lines import JsonFormatter, dropped_line, log_everything
from ci_server.telemetry.request_id import RequestIdFilter

_MOST_LINES = 10_000
_FLUSH_SECONDS = 1.0
_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"


def _parameter(name: str, before: str = "") -> re.Pattern[str]:
    """The name, `=` and value; each character as it is or percent-encoded, perhaps twice."""
    characters = (
        rf"(?:{character}|%(?:25)*{ord(character):x}|%(?:25)*{ord(character.upper()):x})"
        for character in f"{name}="
    )
    return re.compile(rf"""{before}{"".join(characters)}[^&\s"]*""", re.IGNORECASE)


_TOKEN_PARAMETER = _parameter("token")
_SIGNATURE_PARAMETER = _parameter("sig", r"(?:(?<![\w-])|(?<=%26|%3F)|(?<=%2526|%253F))")
"""Other words end like it. Before it is `&` or `?`, perhaps percent-encoded."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_GRANT = re.compile(r"\b(?:st1|pv1)\.[\w.-]+")
"""Stream tokens, and grants of previews; see ci_server.access.auth.job_grants."""

_OIDC_ANSWER = re.compile(r"""(/session/oidc/callback(?:\?|%3f))[^\s"]*""", re.IGNORECASE)
"""What an issuer sends a browser back with: a code, for which there is a token once."""


def without_tokens(text: str) -> str:
    """What a token in a URL lets its holder do, no reader of a log is to be able to do."""
    without = _SIGNATURE_PARAMETER.sub("sig=***", _TOKEN_PARAMETER.sub("token=***", text))
    return _OIDC_ANSWER.sub(r"\1***", _GRANT.sub("***", without))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class ScrubbingFormatter(logging.Formatter):
    """Leaves tokens out of every line: the request's, ours, libraries', and tracebacks. What
    clients and jobs chose can neither begin a line of its own nor do anything to a terminal.
    """

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return super().formatMessage(record).replace("\n", "\n    ")

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return _escaped(without_tokens(super().format(record)))


def _dropped_text(number: int) -> str:
    return f"({number} lines were dropped)"


class PatientHandler(logging.Handler):
    """Hands lines to a thread that writes them to a descriptor.

    When stderr is a full pipe, the thread waits there and the server goes on; beyond a bound
    lines are dropped and counted. An ordinary handler would block the event loop, and, by its
    lock, the exit of the process.
    """

    def __init__(self, descriptor: int, dropped: Callable[[int], str] = _dropped_text) -> None:
        """`dropped` makes the line in place of so many."""
        super().__init__()
        self._dropped_line = dropped
        self._descriptor = descriptor
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._write_on, name="log-output", daemon=True)
        self._thread.start()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never blocks."""
        line = self.format(record)
        with self._ready:
            if len(self._lines) >= _MOST_LINES:
                self._dropped += 1
                return
            self._lines.append(line)
            self._ready.notify()

    @override
    def flush(self) -> None:
        """Wait a moment for the thread to write what there is."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        with self._ready:
            while self._lines and time.monotonic() < deadline:
                self._ready.wait(0.05)

    def _write_on(self) -> None:
        while True:
            with self._ready:
                while not self._lines:
                    self._ready.wait()
                line = self._lines[0]
                if self._dropped:
                    line = f"{self._dropped_line(self._dropped)}\n{line}"
                    self._dropped = 0
            try:
                self._write(line.encode(errors="replace") + b"\n")
            except OSError:
                return  # nobody will ever read this
            with self._ready:
                self._lines.popleft()
                self._ready.notify_all()

    def _write(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._descriptor, content) :]


def scrubbed_json() -> JsonFormatter:
    """Lines of JSON without tokens."""
    return JsonFormatter(without_tokens)


def uvicorn_config(log_format: str) -> dict[str, Any] | None:
    """How uvicorn logs until the application has started, in every process; `None`: as it would."""
    if log_format != "json":
        return None
    loggers = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "ci_server.telemetry.log_output.scrubbed_json"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
        },
        "loggers": dict.fromkeys(("uvicorn", "ci_server"), loggers),
    }


def configure_logging(level: str, log_format: str = "text") -> None:
    """Send all loggers, uvicorn's too, through one patient handler on stderr; as lines of text, or
    of JSON.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, PatientHandler) for handler in root.handlers):
        is_json = log_format == "json"
        handler = PatientHandler(sys.stderr.fileno(), dropped_line if is_json else _dropped_text)
        handler.setFormatter(scrubbed_json() if is_json else ScrubbingFormatter(_FORMAT))
        handler.addFilter(RequestIdFilter())
        if is_json:
            log_everything()
        root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "ci_server"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut_stream)


def _is_no_cut_stream(record: logging.LogRecord) -> bool:
    """Streams are cut on purpose: at the end of the server, and when a reader takes nothing.
    `stalled_readers` tells of each; to uvicorn it looks like a defect.
    """
    return record.msg != "ASGI callable returned without completing response."
