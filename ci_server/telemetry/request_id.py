"""A name for each request: in its answer, in its errors, and in every log line about it."""

import logging
import re
import uuid
from contextvars import ContextVar

from typing_extensions import override

REQUEST_ID_HEADER = b"x-request-id"

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """One that no other request has."""
    return uuid.uuid4().hex


def choose_request_id(offered: str | None) -> str:
    """The client's own, when it is short and harmless wherever it is shown; else a new one."""
    if offered is not None and _ACCEPTABLE.fullmatch(offered):
        return offered
    return new_request_id()


def current_request_id() -> str:
    """Of the request that is being served; empty outside of any."""
    return _current.get()


def begin_request(request_id: str) -> None:
    """Name the request that the running task serves, and the tasks it starts."""
    _current.set(request_id)


class RequestIdFilter(logging.Filter):
    """Gives each record its `request_id`, `-` where there is none."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        if not hasattr(record, "request_id"):
            record.request_id = current_request_id() or "-"
        return True
