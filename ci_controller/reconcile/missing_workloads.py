"""Since when the workloads of running jobs have not been seen."""

from collections.abc import Sequence

from ci_common.job import Job, JobStatus
from ci_common.ports.workloads import Workload, WorkloadState


class MissingWorkloads:
    """Moments are by a clock that nobody sets."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, jobs: Sequence[Job], workloads: Sequence[Workload], at: float) -> None:
        """Take in what there is at that moment. Jobs that are not missing are forgotten."""
        started = {
            (workload.job_id, workload.attempt)
            for workload in workloads
            if workload.state is not WorkloadState.CREATED
        }
        self._since = {
            job.job_id: self._since.get(job.job_id, at)
            for job in jobs
            if job.status is JobStatus.RUNNING and (job.job_id, job.attempt) not in started
        }

    def seconds(self, at: float) -> dict[str, float]:
        """For how many seconds each has been missing at that moment, by job id."""
        return {job_id: at - since for job_id, since in self._since.items()}
