"""Lines of the log as JSON, with what they are about; for server and controller."""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from typing_extensions import override

from ci_common.job import format_time
from ci_common.trace_context import current_job, request_trace, trace_id_of

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAMED_JOB = re.compile(rf"(?:\bjob |/jobs/)({_UUID})\b")
"""In a message, or the path of a request."""

logger = logging.getLogger(__name__)


def as_it_is(text: str) -> str:
    """For processes whose lines hold nothing to hide."""
    return text


class JsonFormatter(logging.Formatter):
    """One object per line. Every line has the same names; what is not known is null."""

    def __init__(self, scrub: Callable[[str], str] = as_it_is) -> None:
        """`scrub` takes out of a text what no reader may see."""
        super().__init__()
        self._scrub = scrub

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        message = self._scrub(record.getMessage())
        job_id = current_job() or _job_named_in(message)
        trace = request_trace()
        trace_id = trace_id_of(job_id) if job_id else trace.trace_id if trace else None
        line: dict[str, Any] = {
            "time": format_time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            "request_id": _request_id(record),
            "job_id": job_id,
            "trace_id": trace_id,
            "process": record.process,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self._scrub(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self._scrub(record.stack_info)
        return _encoded(line)


def dropped_line(number: int) -> str:
    """The line in place of so many."""
    line = {
        "time": format_time(datetime.now(UTC)),
        "level": "WARNING",
        "logger": __name__,
        "message": f"{number} lines were dropped",
        "request_id": None,
        "job_id": None,
        "trace_id": None,
        "process": os.getpid(),
    }
    return _encoded(line)


def log_everything() -> None:
    """Log warnings, and what would end the process or a thread with a traceback on stderr."""
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread


def configure_json(level: str) -> None:
    """Send all loggers to stderr as JSON, for a process without a log output of its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    log_everything()


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    logger.critical("the process ends: %s", kind.__name__, exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is None or arguments.exc_type is SystemExit:
        return
    name = arguments.thread.name if arguments.thread else "?"
    logger.error("the thread %s ends", name, exc_info=arguments.exc_value)


def _request_id(record: logging.LogRecord) -> str | None:
    request_id = getattr(record, "request_id", None)
    return None if request_id in (None, "-") else str(request_id)


def _job_named_in(message: str) -> str | None:
    found = _NAMED_JOB.search(message)
    return found[1] if found else None


def _encoded(line: dict[str, Any]) -> str:
    """ASCII only, so that nothing can end the line or do something to a terminal."""
    return json.dumps(line).replace("\x7f", "\\u007f")
