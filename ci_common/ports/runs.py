"""The rows of runs, as the server reads them. `JobSubmissions.add` writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ci_common.job import JobStatus
from ci_common.policy import JobScope
from ci_common.ports.rows import JobState
from ci_common.run import Run, RunStatus

STATES: Mapping[RunStatus, tuple[JobState, ...]] = {
    RunStatus.PENDING: (
        JobState(JobStatus.QUEUED, cancel_requested=False),
        JobState(JobStatus.INITIALIZING, cancel_requested=False),
    ),
    RunStatus.RUNNING: (JobState(JobStatus.RUNNING, cancel_requested=False),),
    RunStatus.COMPLETED: (JobState(JobStatus.COMPLETED, success=True, cancel_requested=False),),
    RunStatus.FAILED: (
        JobState(JobStatus.COMPLETED, success=False, cancel_requested=False),
        JobState(JobStatus.FAILED, cancel_requested=False),
    ),
    RunStatus.CANCELLED: (
        JobState(JobStatus.CANCELLED),
        *(JobState(status, cancel_requested=True) for status in JobStatus),
    ),
}
"""Which jobs have a status as runs."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Which runs are asked for."""

    offset: int
    """How many newer ones come before."""
    limit: int
    status: RunStatus | None = None


class Runs(Protocol):
    """A run is deleted with its job."""

    async def get(self, run_id: str) -> Run | None:
        """One run, or `None`."""

    async def page(self, scope: JobScope, page: RunPage) -> tuple[list[Run], int]:
        """The runs of the page, newest first, and how many match on all pages."""
