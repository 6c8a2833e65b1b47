"""A run: a job without a package that tells its progress and leaves a result, see docs/runs.md."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ci_common.job import Job, JobStatus
from ci_common.progress import Progress

_ID_BYTES = 6


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    """Its job is queued or initializing."""
    RUNNING = "running"
    COMPLETED = "completed"
    """Its command exited with 0."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Somebody asked for its end before it had ended, whatever became of its job since."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for, stored with the job."""

    run_id: str
    """`run_` and 12 hexadecimal digits."""
    user_email: str
    """Of whoever submitted it, or their user id."""
    config: Mapping[str, Any]
    """The request with its defaults, as JSON values."""
    control_strategy_effective: str | None = None
    """As found in the catalogue when it was submitted; `None` without one."""
    control_cells_available: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as far as it is known."""

    request: RunRequest
    job: Job
    progress: Progress | None = None
    """What its current attempt reported last."""
    progress_at: datetime | None = None
    """When any attempt reported last."""

    @property
    def status(self) -> RunStatus:
        """Follows from the job's row."""
        return status_of(self.job)


def status_of(job: Job) -> RunStatus:
    """Where a run stands whose job this is."""
    if job.cancel_requested_at is not None:
        return RunStatus.CANCELLED
    match job.status:
        case JobStatus.QUEUED | JobStatus.INITIALIZING:
            return RunStatus.PENDING
        case JobStatus.RUNNING:
            return RunStatus.RUNNING
        case JobStatus.CANCELLED:
            return RunStatus.CANCELLED
    succeeded = job.outcome is not None and job.outcome.success
    return RunStatus.COMPLETED if succeeded else RunStatus.FAILED


def new_run_id() -> str:
    """An id that nobody can guess from others."""
    return f"run_{secrets.token_hex(_ID_BYTES)}"
