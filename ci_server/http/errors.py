"""Errors on HTTP: one table of codes to statuses, one body."""

import logging
import math
from dataclasses import dataclass
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

from ci_common.errors import InvalidUploadError, RunnerError, place_of
from ci_server.telemetry.request_id import current_request_id

logger = logging.getLogger(__name__)

STATUS_OF_CODE: dict[str, HTTPStatus] = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "invalid_upload": HTTPStatus.BAD_REQUEST,
    "invalid_package": HTTPStatus.BAD_REQUEST,
    "package_refused": HTTPStatus.BAD_REQUEST,
    "invalid_config": HTTPStatus.BAD_REQUEST,
    "unknown_job_name": HTTPStatus.BAD_REQUEST,
    "invalid_query": HTTPStatus.BAD_REQUEST,
    "query_too_complex": HTTPStatus.BAD_REQUEST,
    "query_timeout": HTTPStatus.SERVICE_UNAVAILABLE,
    "graphql_unavailable": HTTPStatus.NOT_IMPLEMENTED,
    "invalid_cursor": HTTPStatus.BAD_REQUEST,
    "events_gone": HTTPStatus.GONE,
    "invalid_offset": HTTPStatus.BAD_REQUEST,
    "invalid_search": HTTPStatus.BAD_REQUEST,
    "ambiguous_job_id": HTTPStatus.BAD_REQUEST,
    "invalid_secret": HTTPStatus.BAD_REQUEST,
    "unknown_secret": HTTPStatus.BAD_REQUEST,
    "secrets_needed": HTTPStatus.BAD_REQUEST,
    "secret_key_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "upload_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "invalid_credentials": HTTPStatus.UNAUTHORIZED,
    "session_ended": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "cross_origin": HTTPStatus.FORBIDDEN,
    "not_local": HTTPStatus.FORBIDDEN,
    "invalid_grant": HTTPStatus.FORBIDDEN,
    "grant_expired": HTTPStatus.FORBIDDEN,
    "quota_exceeded": HTTPStatus.FORBIDDEN,
    "limit_reached": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_streams": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_uploads": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_jobs": HTTPStatus.TOO_MANY_REQUESTS,
    "job_not_found": HTTPStatus.NOT_FOUND,
    "artifact_not_found": HTTPStatus.NOT_FOUND,
    "session_not_found": HTTPStatus.NOT_FOUND,
    "run_not_found": HTTPStatus.NOT_FOUND,
    "run_not_completed": HTTPStatus.BAD_REQUEST,
    "run_not_cancellable": HTTPStatus.BAD_REQUEST,
    "job_finished": HTTPStatus.CONFLICT,
    "job_started": HTTPStatus.CONFLICT,
    "not_rerunnable": HTTPStatus.CONFLICT,
    "package_gone": HTTPStatus.GONE,
    "disk_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "log_corrupt": HTTPStatus.INTERNAL_SERVER_ERROR,
    "log_missing": HTTPStatus.GONE,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "scanner_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "storage_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "database_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "data_directory_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Codes that are not here are defects when they reach a client: 500."""


@dataclass(frozen=True, slots=True)
class ErrorDialect:
    """How a door answers errors, where it differs from the native one."""

    prefix: str
    """Of the paths that are this door's."""
    validation_status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY
    """Of parameters and form fields that are not what they have to be."""


RUNS_PREFIX = "/api/v1/"

_DIALECTS = (ErrorDialect("/v1/"), ErrorDialect(RUNS_PREFIX))
"""These have `detail`, too: the message, where clients of FastAPI services look for it."""


def error_response(
    status: int, code: str, message: str, connection: HTTPConnection | None = None
) -> JSONResponse:
    """The body of every error; `connection` is the one that it answers."""
    error = {"code": code, "message": message, "request_id": current_request_id()}
    if connection is not None and _dialect_of(connection):
        return JSONResponse({"detail": message, "error": error}, status)
    return JSONResponse({"error": error}, status)


def _dialect_of(connection: HTTPConnection) -> ErrorDialect | None:
    path = connection.scope["path"]
    return next((dialect for dialect in _DIALECTS if path.startswith(dialect.prefix)), None)


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
    status = STATUS_OF_CODE[error.code]
    dialect = _dialect_of(connection)
    if dialect is not None and isinstance(error, InvalidUploadError):
        status = dialect.validation_status
    response = error_response(status, error.code, message, connection)
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if response.status_code == HTTPStatus.REQUEST_TIMEOUT:
        response.headers["Connection"] = "close"
    return response


async def _validation_error(connection: HTTPConnection, error: Exception) -> JSONResponse:
    problems: list[Any] = list(error.errors()) if isinstance(error, ValidationException) else []
    message = "; ".join(
        f"{place_of(problem['loc'][1:] or problem['loc'])}: {problem['msg']}"
        for problem in problems
    )
    dialect = _dialect_of(connection)
    status = dialect.validation_status if dialect else HTTPStatus.BAD_REQUEST
    return error_response(status, "invalid_request", message, connection)


async def _http_error(connection: HTTPConnection, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_")
    response = error_response(status, code, f"{phrase}.", connection)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _unknown_error(connection: HTTPConnection, error: Exception) -> JSONResponse:
    logger.error("%s failed", _named(connection), exc_info=error)
    return error_response(
        500,
        "internal_error",
        f"internal error; see the server's log (request id {current_request_id()})",
        connection,
    )


def _named(connection: HTTPConnection) -> str:
    """A request or WebSocket, for the log."""
    scope = connection.scope
    return f"{scope.get('method', scope['type'])} {scope['path']!r}"
