"""What the commands' exit codes mean."""

from collections.abc import Mapping
from typing import Any

from ci_client.errors import (
    AccessRefused,
    ArtifactsIncomplete,
    ClientError,
    ConfigError,
    NotAModel,
    ProjectNotFound,
    ProjectTooLarge,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
    UsageError,
)
from ci_common.job_states import JobStatus, Reason

PASSED = 0
FAILED = 1
"""The tests failed, or the job could not be carried out for another reason of its own."""
USAGE = 2
"""The options, the address, the API key, or the project's table of jobs are wrong: nothing was run,
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

_WRONG_FROM_THE_START = (
    AccessRefused,
    ConfigError,
    NotAModel,
    ProjectNotFound,
    ProjectTooLarge,
    UsageError,
)

_MISTAKES_OF_THE_CALLER = frozenset(
    {"invalid_config", "unknown_job_name", "invalid_secret", "unknown_secret", "upload_too_large"}
)
"""Codes of the server's refusals: a broken table of jobs, a job or a secret there is not, a project
that is too large."""


def of_result(result: Mapping[str, Any]) -> int:
    """The exit code for a `complete` event, or for a finished job as the server lists it."""
    if result.get("success") is True:
        return PASSED
    if result.get("status") == JobStatus.CANCELLED:
        return CANCELLED
    reason = known_reason(result)
    if reason is Reason.TIMEOUT:
        return TIMED_OUT
    if reason is not None and reason.is_infrastructure:
        return INFRASTRUCTURE
    return FAILED


def of_error(error: ClientError) -> int:
    """The exit code for a request that came to nothing."""
    if isinstance(error, _WRONG_FROM_THE_START):
        return USAGE
    if isinstance(error, ArtifactsIncomplete):
        codes = set(map(of_error, error.failures.values()))
        return codes.pop() if len(codes) == 1 else FAILED
    if isinstance(error, ServerUnreachable | UnexpectedAnswer):
        return INFRASTRUCTURE
    if isinstance(error, RequestRefused) and error.is_infrastructure:
        return INFRASTRUCTURE
    if isinstance(error, RequestRefused) and error.code in _MISTAKES_OF_THE_CALLER:
        return USAGE
    return FAILED


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
