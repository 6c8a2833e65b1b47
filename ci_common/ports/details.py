"""What is kept of a job beside its row, and is asked for by itself."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ci_common.coverage_files import CoverageFiles
from ci_common.resources import ResourceSeries


class JobDetails(Protocol):
    """The server's side. It goes with the job's row."""

    async def resources(self, job_id: str) -> ResourceSeries | None:
        """What the job used, as far as it is saved; `None` when nothing is."""

    async def resources_of(self, job_ids: Sequence[str]) -> dict[str, ResourceSeries]:
        """The same of several jobs, by id: of those of which something is saved."""

    async def coverage_files(self, job_id: str) -> CoverageFiles | None:
        """What its coverage reports say of each file; `None` without reports, and for jobs from
        before this was kept.
        """


class ResourceStore(Protocol):
    """The controller's side of the samples of running jobs."""

    async def load(self, job_id: str) -> ResourceSeries | None:
        """What is saved of a job; `None` when nothing is."""

    async def save(self, series: Mapping[str, ResourceSeries]) -> None:
        """Save those of several jobs, by id, in one transaction. Ignored are those of another
        attempt than the row's, and of jobs that have ended: their end has them. So are all when
        this process does not hold the lease.
        """
