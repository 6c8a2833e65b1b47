"""Errors as clients see them: a status, and {"error": {"code", "message"}}."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from engine.errors import EngineError, ModelError, RequestError

RETRY_SECONDS = 1


class Refused(Exception):
    """The request is answered with an error; `headers` go with it."""

    def __init__(
        self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"code": self.status.name.lower(), "message": str(self)}}


def come_again(message: str, seconds: int = RETRY_SECONDS) -> Refused:
    """Not now: the client is told when to try again."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, {"Retry-After": str(seconds)})


def status_of(error: EngineError) -> HTTPStatus:
    """400 for what cannot be had, 422 for what is wrong with the model."""
    if isinstance(error, RequestError):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.UNPROCESSABLE_ENTITY


def error_document(error: EngineError) -> dict[str, Any]:
    """What a client is told; a model's mistakes one by one."""
    content: dict[str, Any] = {"code": error.code, "message": str(error)}
    if isinstance(error, ModelError):
        content["problems"] = [vars(problem) for problem in error.problems]
    return {"error": content}


def memory_document(limit: int | None) -> dict[str, Any]:
    """The model needs more memory than it may have."""
    allowed = "there is" if limit is None else f"the {limit >> 20} MiB that a model may use here"
    message = (
        f"the model needs more memory than {allowed}: send fewer policies or scenarios, no values "
        "by policy, or use a larger worker"
    )
    return {"error": {"code": "memory_limit", "message": message}}
