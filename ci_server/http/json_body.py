"""Bodies that are one JSON object of a few KiB."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from ci_common.errors import UploadTooLargeError, place_of
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.submission.body_rate import paced

MAX_BODY_BYTES = 256 << 10
"""Unless a route allows more. 10,000 characters take up to 117 KiB when all of them are escaped."""

_MOST_VALUES = 10_000
_MOST_PROBLEMS = 5
_KIND = "application/json"

Body = TypeVar("Body", bound=BaseModel)


async def read_json_body(
    request: Request, shape: type[Body], patience_seconds: float, max_bytes: int = MAX_BODY_BYTES
) -> Body:
    """The body of a request as `shape`, which should be strict and forbid what it does not know.

    Raises RequestValidationError, which tells the first problems and where they are;
    UploadTooLargeError; RequestTimeoutError when nothing, or hardly anything, came for
    `patience_seconds`.
    """
    # A web page can send another site any other kind of body without asking the server first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise _refusal((), f"send a JSON object, with the header Content-Type: {_KIND}")
    content = await _content(request, patience_seconds, max_bytes)
    try:
        return shape.model_validate(strict_object(content, _MOST_VALUES))
    except AmbiguousJsonError as error:
        raise _refusal((), error.located) from None
    except ValidationError as error:
        raise RequestValidationError(_problems(error)) from None


def json_request(shape: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads such a body; `shape` has no models within."""
    content = {_KIND: {"schema": shape.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


async def _content(request: Request, patience_seconds: float, max_bytes: int) -> bytes:
    content = bytearray()
    try:
        async for chunk in paced(request.stream(), patience_seconds):
            content += chunk
            if len(content) > max_bytes:
                raise UploadTooLargeError(
                    f"the body is larger than the {max_bytes >> 10} KiB accepted here"
                )
    except ClientDisconnect:
        raise _refusal((), "the connection was closed before the body was complete") from None
    return bytes(content)


def _problems(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_problem(problem["loc"], _message(problem)) for problem in found[:_MOST_PROBLEMS]]
    if len(found) > len(told):
        told.append(_problem((), f"and {len(found) - len(told)} more problems"))
    return told


def _message(problem: Mapping[str, Any]) -> str:
    is_unknown = problem["type"] == "extra_forbidden"
    return "is not a known key" if is_unknown else str(problem["msg"])


def _refusal(path: tuple[str | int, ...], message: str) -> RequestValidationError:
    return RequestValidationError([_problem(path, message)])


def _problem(path: tuple[str | int, ...], message: str) -> dict[str, Any]:
    """Handlers of errors tell the last step of `loc`, here the whole path within the body."""
    return {"loc": ("body", *([place_of(path)] if path else ())), "msg": message}
