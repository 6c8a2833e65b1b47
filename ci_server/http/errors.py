"""Errors on HTTP: one table of codes to statuses, one body."""

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from ci_common.errors import RunnerError, place_of
from ci_server.telemetry.request_id import current_request_id

logger = logging.getLogger(__name__)

STATUS_OF_CODE: dict[str, HTTPStatus] = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "invalid_upload": HTTPStatus.BAD_REQUEST,
    "invalid_package": HTTPStatus.BAD_REQUEST,
    "invalid_config": HTTPStatus.BAD_REQUEST,
    "unknown_job_name": HTTPStatus.BAD_REQUEST,
    "invalid_offset": HTTPStatus.BAD_REQUEST,
    "invalid_secret": HTTPStatus.BAD_REQUEST,
    "unknown_secret": HTTPStatus.BAD_REQUEST,
    "secret_key_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "upload_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "invalid_credentials": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_local": HTTPStatus.FORBIDDEN,
    "quota_exceeded": HTTPStatus.FORBIDDEN,
    "limit_reached": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_streams": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_uploads": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_jobs": HTTPStatus.TOO_MANY_REQUESTS,
    "job_not_found": HTTPStatus.NOT_FOUND,
    "artifact_not_found": HTTPStatus.NOT_FOUND,
    "job_finished": HTTPStatus.CONFLICT,
    "disk_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "log_corrupt": HTTPStatus.INTERNAL_SERVER_ERROR,
    "log_missing": HTTPStatus.GONE,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "storage_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "database_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "data_directory_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Codes that are not here are defects when they reach a client: 500."""


def error_response(status: int, code: str, message: str) -> JSONResponse:
    """The body of every error."""
    error = {"code": code, "message": message, "request_id": current_request_id()}
    return JSONResponse({"error": error}, status)


def install_error_handlers(app: Starlette) -> None:
    """Make every error of the application one of ours: of requests, and of WebSockets before they
    are accepted.
    """
    app.add_exception_handler(RunnerError, _runner_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(WebSocketRequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unknown_error)
    app.router.default = _no_route


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    """Starlette would answer a WebSocket with 403, and without a body."""
    raise HTTPException(HTTPStatus.NOT_FOUND)


async def _runner_error(connection: HTTPConnection, error: Exception) -> JSONResponse:
    if not isinstance(error, RunnerError) or error.code not in STATUS_OF_CODE:
        return await _unknown_error(connection, error)
    message = error.message
    if STATUS_OF_CODE[error.code] is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s failed: %s", _named(connection), error)
        message = type(error)().message  # the details are about our files
    response = error_response(STATUS_OF_CODE[error.code], error.code, message)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if response.status_code == HTTPStatus.REQUEST_TIMEOUT:
        response.headers["Connection"] = "close"
    return response


async def _validation_error(_: HTTPConnection, error: Exception) -> JSONResponse:
    problems: list[Any] = list(error.errors()) if isinstance(error, ValidationException) else []
    message = "; ".join(
        f"{place_of(problem['loc'][-1:])}: {problem['msg']}" for problem in problems
    )
    return error_response(HTTPStatus.BAD_REQUEST, "invalid_request", message)


async def _http_error(_: HTTPConnection, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    phrase = HTTPStatus(status).phrase
    response = error_response(status, phrase.lower().replace(" ", "_"), f"{phrase}.")
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _unknown_error(connection: HTTPConnection, error: Exception) -> JSONResponse:
    logger.error("%s failed", _named(connection), exc_info=error)
    return error_response(
        500,
        "internal_error",
        f"internal error; the server's log tells more (request id {current_request_id()})",
    )


def _named(connection: HTTPConnection) -> str:
    """A request or WebSocket, for the log."""
    scope = connection.scope
    return f"{scope.get('method', scope['type'])} {scope['path']!r}"
