"""What to do next, as a pure function of the two worlds and the time.

Every action is safe to repeat: the controller applies what it has not begun yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports import Workload, WorkloadState


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan must respect."""

    max_concurrent_jobs: int
    missing_grace_seconds: float
    """For so long a running job's workload may be unseen before the job counts as lost."""


@dataclass(frozen=True, slots=True)
class Start:
    """Claim the job and launch its workload; replaces one that was made but not started."""

    job: Job


@dataclass(frozen=True, slots=True)
class Follow:
    """Take the output of a started workload to its end, then record how it ended."""

    job: Job


@dataclass(frozen=True, slots=True)
class Stop:
    """End the workload of a live job. Whoever follows it records the end."""

    job: Job
    reason: Reason


@dataclass(frozen=True, slots=True)
class Finish:
    """End a job that has no workload."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a workload that belongs to no live job."""

    job_id: str


_LONGEST_SECONDS = 10 * 365 * 86400.0
"""More would not fit into a date."""

Action = Start | Follow | Stop | Finish | Remove

CANCELLED = Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled before it started")
LOST = Outcome(
    JobStatus.FAILED,
    Reason.LOST,
    "the job's workload vanished without leaving an exit code (was it removed by hand, or did "
    "the machine restart?); submit it again",
)


def plan(
    jobs: Sequence[Job],
    workloads: Sequence[Workload],
    missing_since: Mapping[str, datetime],
    now: datetime,
    limits: Limits,
) -> list[Action]:
    """The actions that bring the worlds together.

    `jobs` are the live ones, first come first; `missing_since` tells since when the workload
    of a running job has not been seen.
    """
    by_job = {workload.job_id: workload for workload in workloads}
    live = {job.job_id for job in jobs}
    actions: list[Action] = [
        Remove(workload.job_id) for workload in workloads if workload.job_id not in live
    ]
    slots = limits.max_concurrent_jobs - sum(job.status is not JobStatus.QUEUED for job in jobs)
    for job in jobs:
        if job.status is JobStatus.QUEUED:
            if job.cancel_requested_at is not None:
                actions.append(Finish(job, CANCELLED))
            elif slots > 0:
                slots -= 1
                actions.append(Start(job))
        else:
            actions.extend(_plan_claimed(job, by_job.get(job.job_id), missing_since, now, limits))
    return actions


def plan_without_engine(jobs: Sequence[Job]) -> list[Action]:
    """What can be done while the workloads cannot be seen: nothing that needs them."""
    return [
        Finish(job, CANCELLED)
        for job in jobs
        if job.status is JobStatus.QUEUED and job.cancel_requested_at is not None
    ]


def _plan_claimed(
    job: Job,
    workload: Workload | None,
    missing_since: Mapping[str, datetime],
    now: datetime,
    limits: Limits,
) -> list[Action]:
    if workload is None or workload.state is WorkloadState.CREATED:
        return _plan_unstarted(job, missing_since.get(job.job_id), now, limits)
    if workload.state is WorkloadState.RUNNING:
        if job.cancel_requested_at is not None:
            return [Follow(job), Stop(job, Reason.CANCELLED)]
        if job.started_at is not None and now >= deadline(job, job.started_at):
            return [Follow(job), Stop(job, Reason.TIMEOUT)]
    return [Follow(job)]


def _plan_unstarted(
    job: Job, missing_since: datetime | None, now: datetime, limits: Limits
) -> list[Action]:
    if job.status is JobStatus.INITIALIZING:
        return [Finish(job, CANCELLED)] if job.cancel_requested_at is not None else [Start(job)]
    if missing_since is None:
        return []
    if now - missing_since < timedelta(seconds=limits.missing_grace_seconds):
        return []
    return [Finish(job, LOST)]


def deadline(job: Job, started_at: datetime) -> datetime:
    """When a command that started then must have ended."""
    return started_at + timedelta(seconds=min(job.spec.limits.timeout_seconds, _LONGEST_SECONDS))


def outcome(job: Job, workload: Workload) -> Outcome:
    """How a job whose workload has exited ended. A function of recorded facts alone, so that
    whichever process records the end comes to the same result.
    """
    started = workload.started_at or job.started_at
    ended = workload.finished_at
    code = workload.exit_code
    asked = job.cancel_requested_at
    if asked is not None and (ended is None or ended >= asked):
        return Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled while running", code)
    if started and ended and ended >= deadline(job, started):
        seconds = job.spec.limits.timeout_seconds
        message = f"stopped: it ran longer than its timeout of {seconds:g} s"
        return Outcome(JobStatus.FAILED, Reason.TIMEOUT, message, code)
    if code != 0 and workload.oom_killed:
        limit = job.spec.limits.memory_mb
        bound = f"its memory limit of {limit} MiB" if limit else "the memory there is"
        message = f"killed: it used more than {bound}"
        return Outcome(JobStatus.COMPLETED, Reason.OOM, message, code)
    return Outcome(JobStatus.COMPLETED, Reason.EXIT, f"exited with code {code}", code)
