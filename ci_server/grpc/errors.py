"""Errors on gRPC: one table of codes to statuses."""

import logging
from typing import Any, NoReturn

import grpc
import grpc.aio

from ci_common.errors import RunnerError
from ci_server.telemetry.request_id import current_request_id

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

STATUS_OF_CODE: dict[str, grpc.StatusCode] = {
    "bad_request": grpc.StatusCode.INVALID_ARGUMENT,
    "package_refused": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_config": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_cursor": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_offset": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_search": grpc.StatusCode.INVALID_ARGUMENT,
    "ambiguous_job_id": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_secret": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "invalid_credentials": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "quota_exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "limit_reached": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_many_attempts": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_many_streams": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_many_uploads": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_many_jobs": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "job_not_found": grpc.StatusCode.NOT_FOUND,
    "job_finished": grpc.StatusCode.FAILED_PRECONDITION,
    "disk_full": grpc.StatusCode.UNAVAILABLE,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "scanner_unavailable": grpc.StatusCode.UNAVAILABLE,
    "storage_unavailable": grpc.StatusCode.UNAVAILABLE,
    "database_unavailable": grpc.StatusCode.UNAVAILABLE,
    "data_directory_unavailable": grpc.StatusCode.UNAVAILABLE,
}
"""Codes that are not here are answered with INTERNAL; the details are in the server's log."""


def status_of(error: Exception) -> grpc.StatusCode:
    """The status that tells of an error."""
    if isinstance(error, RunnerError):
        return STATUS_OF_CODE.get(error.code, grpc.StatusCode.INTERNAL)
    return grpc.StatusCode.INTERNAL


async def abort(context: Context, error: Exception, method: str) -> NoReturn:
    """End the call with an error: ours, or a defect."""
    request_id = current_request_id()
    metadata = [("x-request-id", request_id)]
    if isinstance(error, RunnerError) and error.code in STATUS_OF_CODE:
        if error.retry_after is not None:
            metadata.append(("retry-after", f"{max(error.retry_after, 1):.0f}"))
        await context.abort(STATUS_OF_CODE[error.code], error.message, tuple(metadata))
    logger.error("%s failed", method, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL,
        f"internal error; see the server's log (request id {request_id})",
        tuple(metadata),
    )
