"""What is asked for of one job by itself: what it used over time, and coverage by file."""

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
        is_of_attempt = series is not None and series.attempt == job.attempt
        return job, series if is_of_attempt else None

    async def coverage(self, principal: Principal, job_id: str) -> tuple[Job, CoverageFiles | None]:
        """A job, and what its coverage reports say of each file; `None` without reports."""
        job = await self._jobs.get(principal, job_id)
        return job, await self._details.coverage_files(job.job_id)
