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


def _key(job: Job) -> tuple[str, int]:
    return job.job_id, job.attempt


def _age(started_at: datetime, now: datetime) -> float:
    # One that starts in the future was started before the clock was set back.
    return max((now - started_at).total_seconds(), 0.0)
