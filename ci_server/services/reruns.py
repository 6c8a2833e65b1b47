"""Rerunning jobs."""

from collections.abc import Sequence

from ci_common.errors import NotRerunnableError
from ci_common.job import Door, Job
from ci_common.principal import Principal
from ci_common.secret import Secret
from ci_server.services.intake import Intake
from ci_server.services.jobs import JobService
from ci_server.submission.package_scan import Gone


class RerunService:
    """Finds the job and has the intake queue another one like it."""

    def __init__(self, jobs: JobService, intake: Intake) -> None:
        self._jobs = jobs
        self._intake = intake

    async def rerun(
        self,
        principal: Principal,
        job_id: str,
        sent: Sequence[Secret] = (),
        gone: Gone | None = None,
    ) -> Job:
        """Queue a job again, whether it has ended or not, see `Intake.repeat`.

        Raises JobNotFoundError for one that the principal may not see, ForbiddenError for one it
        may only see, NotRerunnableError for one of a run, and what `Intake.repeat` raises.
        """
        source = await self._jobs.check_rerun(principal, job_id)
        if source.door is Door.RUNS:
            raise NotRerunnableError(
                f"job {source.job_id} belongs to a run and cannot be rerun on its own: submit the "
                "run again (POST /api/v1/runs)"
            )
        return await self._intake.repeat(principal, source, sent, gone)
