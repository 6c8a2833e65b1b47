"""What the commands' exit codes mean."""

from collections.abc import Mapping
from typing import Any

from ci_client.errors import ClientError, ModelResultError
from ci_common.job_states import WRONG_IMAGE, JobStatus, Reason

PASSED = 0
FAILED = 1
"""The job ran and failed. Also: `ci wait` knows no such job."""
USAGE = 2
"""Options, the address, the API key, the project or its table of jobs are wrong: nothing was run,
and to try the same again does not help."""
INFRASTRUCTURE = 3
"""The server or the runner is at fault, or too busy, so to try again may help."""
CANCELLED = 4
TIMED_OUT = 5
INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
BROKEN_PIPE = 141
"""Whoever read our output went away, as shells have it."""
TERMINATED = 143
"""SIGTERM, as shells have it."""


def of_result(result: Mapping[str, Any]) -> int:
    """The exit code for a `complete` event, or for a finished job as the server lists it."""
    if result.get("success") is True:
        return PASSED
    if result.get("status") == JobStatus.CANCELLED:
        return CANCELLED
    reason = known_reason(result)
    if reason is Reason.TIMEOUT:
        return TIMED_OUT
    if has_wrong_image(result):
        return USAGE
    if reason is not None and reason.is_infrastructure:
        return INFRASTRUCTURE
    return FAILED


def of_error(error: ClientError) -> int:
    """The exit code for a request that came to nothing."""
    if isinstance(error, ModelResultError):
        return FAILED
    return INFRASTRUCTURE if error.is_infrastructure else USAGE


def has_wrong_image(result: Mapping[str, Any]) -> bool:
    """Whether the job could not start because there is no image of the name that it asks for."""
    told = str(result.get("message") or "")
    return known_reason(result) is Reason.IMAGE_UNAVAILABLE and WRONG_IMAGE in told


def known_reason(result: Mapping[str, Any]) -> Reason | None:
    """Why the job ended; `None` for a reason that only newer servers know."""
    try:
        return Reason(result["reason"])
    except (KeyError, ValueError):
        return None


def is_finished(job: Mapping[str, Any]) -> bool:
    """Whether a job can never move again."""
    try:
        return JobStatus(job["status"]).is_terminal
    except (KeyError, ValueError):
        return False
