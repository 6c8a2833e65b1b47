"""Errors in answers to queries: GraphQL's form, with the same codes as everywhere."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from graphql import GraphQLError

from ci_common.errors import InvalidQueryError, RunnerError, place_of
from ci_server.http.errors import STATUS_OF_CODE
from ci_server.telemetry.request_id import current_request_id

logger = logging.getLogger(__name__)

_MOST = 100
"""The rest of the errors of one query are left out."""


def errors_json(errors: list[GraphQLError]) -> list[dict[str, Any]]:
    """The entry `errors` of an answer."""
    return [_error_json(error) for error in errors[:_MOST]]


def refusal_json(error: RunnerError) -> dict[str, Any]:
    """The answer to a query that was not executed, or not to its end."""
    return {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}


def _error_json(error: GraphQLError) -> dict[str, Any]:
    code, message = _code_and_message(error)
    told: dict[str, Any] = {"message": message}
    if error.locations:
        told["locations"] = [
            {"line": place.line, "column": place.column} for place in error.locations
        ]
    if error.path is not None:
        told["path"] = error.path
    return {**told, "extensions": {"code": code}}


def _code_and_message(error: GraphQLError) -> tuple[str, str]:
    cause = error.original_error
    while isinstance(cause, GraphQLError):  # of a value that does not fit its type
        cause = cause.original_error
    if cause is None:
        if error.path is not None:
            logger.warning("GraphQL: %s (at %s)", error.message, place_of(error.path))
        return InvalidQueryError.code, error.message
    if isinstance(cause, RequestValidationError):
        told = (f"{place_of(one['loc'][1:])}: {one['msg']}" for one in cause.errors())
        return "invalid_request", "; ".join(told)
    status = STATUS_OF_CODE.get(cause.code) if isinstance(cause, RunnerError) else None
    if isinstance(cause, RunnerError) and status not in (None, HTTPStatus.INTERNAL_SERVER_ERROR):
        return cause.code, cause.message
    logger.error("a GraphQL query failed", exc_info=cause)
    return (
        "internal_error",
        f"internal error; see the server's log (request id {current_request_id()})",
    )
