"""For how long jobs have been running, by a clock that nobody sets."""

from collections.abc import Callable, Sequence
from datetime import datetime

from ci_common.job import Job, JobStatus


class RunningTimes:
    """The wall clock may be set while a job runs, so that it tells only once: when this process
    first sees a job, which of its own is when it starts. From then on `clock`, the monotonic
    one, tells.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: dict[tuple[str, int], float] = {}
        """By job and attempt."""

    def note(self, jobs: Sequence[Job], now: datetime) -> None:
        """Take in which jobs there are; `now` is by the wall clock. Others are forgotten."""
        at = self._clock()
        self._began = {
            _key(job): self._began.get(_key(job), at - _age(job.started_at, now))
            for job in jobs
            if job.status is JobStatus.RUNNING and job.started_at is not None
        }

    def seconds(self, job: Job, at: float | None = None) -> float | None:
        """For how long it had been running at that moment of the clock, by default now; `None`
        when this process has not seen it.
        """
        began = self._began.get(_key(job))
        return None if began is None else (self._clock() if at is None else at) - began

    def all_seconds(self, jobs: Sequence[Job], at: float) -> dict[str, float]:
        """The same for several jobs, by id; without those that this process has not seen."""
        seconds = {job.job_id: self.seconds(job, at) for job in jobs}
        return {job_id: found for job_id, found in seconds.items() if found is not None}

    def earliest_deadline(self, jobs: Sequence[Job]) -> float | None:
        """The moment of the clock at which the first of the jobs reaches its timeout. One that has
        passed was acted upon, and is no reason to hurry.
        """
        now = self._clock()
        left = (
            job.spec.limits.timeout_seconds - seconds
            for job in jobs
            if (seconds := self.seconds(job, now)) is not None
        )
        return min((now + seconds for seconds in left if seconds > 0), default=None)


def _key(job: Job) -> tuple[str, int]:
    return job.job_id, job.attempt


def _age(started_at: datetime, now: datetime) -> float:
    # One that starts in the future was started before the clock was set back.
    return max((now - started_at).total_seconds(), 0.0)
