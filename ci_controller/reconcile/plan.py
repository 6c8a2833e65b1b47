"""What to do next, as a pure function of the two worlds and the time.

Every action is safe to repeat: the controller applies what it has not begun yet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.running.shares import collections_of_tenant


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan must respect."""

    max_concurrent_jobs: int
    max_jobs_per_tenant: int | None
    missing_grace_seconds: float
    """For so long a running job's workload may be unseen before the job counts as lost."""
    max_collections: int = 4
    """So many jobs whose command has ended, and whose artifacts are still collected, hold no slot.
    Further ones do, so that jobs that end fast cannot pile up."""


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
class Retry:
    """Start a running job whose workload was lost over again, as its next attempt."""

    job: Job


@dataclass(frozen=True, slots=True)
class Finish:
    """End a job that has no workload, or whose failure has been begun to be recorded."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a workload that belongs to no live job."""

    job_id: str


Action = Start | Follow | Stop | Retry | Finish | Remove

CANCELLED = Outcome(
    JobStatus.CANCELLED, Reason.CANCELLED, "cancelled while no command of it was running"
)
LOST = Outcome(
    JobStatus.FAILED,
    Reason.LOST,
    "the job's workload vanished without leaving an exit code (was it removed by hand, or did "
    "the machine restart?); submit it again",
)


def plan(
    jobs: Sequence[Job],
    workloads: Sequence[Workload],
    missing: Mapping[str, float],
    running: Mapping[str, float],
    limits: Limits,
    turns: Mapping[str, int] = MappingProxyType({}),
) -> list[Action]:
    """The actions that bring the worlds together.

    `jobs` are the live ones, first come first; `missing` tells for how many seconds the workload
    of a running job has not been seen, `running` for how many a job has been running; `turns`
    numbers the tenants in the order in which they last had a job started, from 1.
    """
    by_job = {workload.job_id: workload for workload in workloads}
    live = {job.job_id for job in jobs}
    actions: list[Action] = [
        Remove(workload.job_id) for workload in workloads if workload.job_id not in live
    ]
    actions += plan_without_engine(jobs)
    under_way = _under_way(jobs, by_job, limits)
    actions += [Start(job) for job in _admitted(jobs, under_way, limits, turns)]
    for job in jobs:
        if job.status is not JobStatus.QUEUED:
            workload = by_job.get(job.job_id)
            actions += _plan_claimed(job, workload, missing, running, limits)
    return actions


def _under_way(
    jobs: Sequence[Job], workloads: Mapping[str, Workload], limits: Limits
) -> Counter[str]:
    """By tenant, how many jobs hold a slot: all that were claimed, but for the first few whose
    command has ended: their memory and processors are free again.

    That is seen in the workloads, so it is the same for a controller that has just taken over.
    """
    under_way = Counter(job.tenant for job in jobs if job.status is not JobStatus.QUEUED)
    most_of_tenant = collections_of_tenant(limits.max_collections)
    collecting: Counter[str] = Counter()
    for job in jobs:
        if collecting.total() >= limits.max_collections:
            break
        if collecting[job.tenant] < most_of_tenant and _has_ended(job, workloads.get(job.job_id)):
            collecting[job.tenant] += 1
    return under_way - collecting


def _has_ended(job: Job, workload: Workload | None) -> bool:
    """Whether the command of the job's present attempt was started, and has ended."""
    return (
        job.status is not JobStatus.QUEUED
        and workload is not None
        and workload.state is WorkloadState.EXITED
        and workload.attempt == job.attempt
    )


def _admitted(
    jobs: Sequence[Job], under_way: Counter[str], limits: Limits, turns: Mapping[str, int]
) -> list[Job]:
    """The queued jobs that may start now. Tenants take turns: the one with the fewest jobs under
    way, then the one whose last turn is longest ago. Within a tenant the highest priority is
    first, then first come, first served.

    Priorities are never compared across tenants: otherwise a tenant that gives all its jobs the
    highest one would keep everybody else waiting.
    """
    slots = limits.max_concurrent_jobs - under_way.total()
    if slots <= 0:
        return []
    queues, last_turn = _queues(jobs), dict(turns)
    turn = max(last_turn.values(), default=0)
    admitted: list[Job] = []
    while slots > len(admitted):
        heads = [
            (under_way[tenant], last_turn.get(tenant, 0), queue[-1].created_at, tenant)
            for tenant, queue in queues.items()
            if limits.max_jobs_per_tenant is None or under_way[tenant] < limits.max_jobs_per_tenant
        ]
        if not heads:
            break
        tenant = min(heads)[-1]
        admitted.append(queues[tenant].pop())
        under_way[tenant] += 1
        last_turn[tenant] = turn = turn + 1
        if not queues[tenant]:
            del queues[tenant]
    return admitted


def _queues(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Each tenant's waiting jobs, the next one last."""
    queues: dict[str, list[Job]] = {}
    for job in jobs:
        if job.status is JobStatus.QUEUED and job.cancel_requested_at is None:
            queues.setdefault(job.tenant, []).append(job)
    for queue in queues.values():
        queue.reverse()
        queue.sort(key=lambda job: job.spec.priority)  # stable: first come stays last
    return queues


def plan_without_engine(jobs: Sequence[Job]) -> list[Action]:
    """What can be done while the workloads cannot be seen: nothing that needs them."""
    return [
        Finish(job, CANCELLED)
        for job in jobs
        if job.status is JobStatus.QUEUED and job.cancel_requested_at is not None
    ]


def without_files(actions: Sequence[Action]) -> list[Action]:
    """What of a plan can be done while the data directory cannot be used: containers are stopped
    and removed, and jobs that were never begun end. Output waits in the containers.
    """
    return [action for action in actions if not _needs_files(action)]


def _needs_files(action: Action) -> bool:
    match action:
        case Stop() | Remove():
            return False
        case Finish(job):
            return job.status is not JobStatus.QUEUED
    return True


def _plan_claimed(
    job: Job,
    workload: Workload | None,
    missing: Mapping[str, float],
    running: Mapping[str, float],
    limits: Limits,
) -> list[Action]:
    if job.failing is not None:
        return [Finish(job, job.failing.outcome)]
    if (
        workload is None
        or workload.state is WorkloadState.CREATED
        or workload.attempt != job.attempt  # of an attempt that was given up; it is replaced
    ):
        return _plan_unstarted(job, missing.get(job.job_id), limits)
    if workload.state is WorkloadState.RUNNING:
        if job.cancel_requested_at is not None:
            return [Follow(job), Stop(job, Reason.CANCELLED)]
        if running.get(job.job_id, 0.0) >= job.spec.limits.timeout_seconds:
            return [Follow(job), Stop(job, Reason.TIMEOUT)]
    return [Follow(job)]


def _plan_unstarted(job: Job, missing_seconds: float | None, limits: Limits) -> list[Action]:
    if job.status is JobStatus.INITIALIZING:
        return [Finish(job, CANCELLED)] if job.cancel_requested_at is not None else [Start(job)]
    if missing_seconds is None or missing_seconds < limits.missing_grace_seconds:
        return []
    if job.cancel_requested_at is not None:
        return [Finish(job, CANCELLED)]
    return [Retry(job)] if job.attempt <= job.spec.retries else [Finish(job, LOST)]
