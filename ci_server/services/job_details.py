"""What is asked for of one job by itself: what it used over time, and coverage by file."""

from collections.abc import Sequence

from ci_common.coverage_files import CoverageFiles
from ci_common.job import Job
from ci_common.ports.details import JobDetails
from ci_common.principal import Principal
from ci_common.resources import ResourceSeries
from ci_server.services.jobs import JobService


class JobDetailService:
    """Answers about jobs that the principal may read; raises JobNotFoundError for others."""

    def __init__(self, jobs: JobService, details: JobDetails) -> None:
        self._jobs = jobs
        self._details = details

    async def resources(
        self, principal: Principal, job_id: str
    ) -> tuple[Job, ResourceSeries | None]:
        """A job, and the samples of its present attempt; `None` where there are none (yet)."""
        job = await self._jobs.get(principal, job_id)
        series = await self._details.resources(job.job_id)
        return job, series if _is_of_attempt(series, job) else None

    async def resources_of(
        self, principal: Principal, jobs: Sequence[Job]
    ) -> dict[str, ResourceSeries]:
        """The samples of the present attempts of several jobs, by id: of those that the principal
        may read, and that have any.
        """
        readable = {job.job_id: job for job in self._jobs.readable(principal, jobs)}
        found = await self._details.resources_of(list(readable))
        return {
            job_id: series
            for job_id, series in found.items()
            if _is_of_attempt(series, readable[job_id])
        }

    async def coverage(self, principal: Principal, job_id: str) -> tuple[Job, CoverageFiles | None]:
        """A job, and what its coverage reports say of each file; `None` without reports."""
        job = await self._jobs.get(principal, job_id)
        return job, await self._details.coverage_files(job.job_id)


def _is_of_attempt(series: ResourceSeries | None, job: Job) -> bool:
    return series is not None and series.attempt == job.attempt
