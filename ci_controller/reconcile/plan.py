"""What to do next, as a pure function of what the controller sees and has under way.

This is the whole decision: the controller carries out every action of a plan. All are safe to
repeat.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports.workloads import Workload, WorkloadState
from ci_common.shares import share_of_tenant
from ci_controller.reconcile.world import PlanLimits, RunState, World


@dataclass(frozen=True, slots=True)
class Start:
    """Claim the job and launch its workload; replaces one that was made but not started."""

    job: Job


@dataclass(frozen=True, slots=True)
class Follow:
    """Take the output of a started workload to its end, then record how it ended."""

    job: Job


@dataclass(frozen=True, slots=True)
class Hurry:
    """Cut short the collection of a cancelled job's artifacts."""

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


Action = Start | Follow | Hurry | Stop | Retry | Finish | Remove

CANCELLED = Outcome(
    JobStatus.CANCELLED, Reason.CANCELLED, "cancelled while its command was not running"
)
LOST = Outcome(
    JobStatus.FAILED,
    Reason.LOST,
    "the job's container or process disappeared without an exit code (was it removed, or did the "
    "machine restart?); submit the job again",
)


def plan(world: World) -> list[Action]:
    """The actions that bring rows and workloads together."""
    return [action for action in _wanted(world) if _is_due(action, world)]


def key(action: Action) -> str:
    """What the action is called in `World.under_way` and `World.resting`: its kind, in lower case,
    and its job, for example `stop 6b1f…`.
    """
    job_id = action.job_id if isinstance(action, Remove) else action.job.job_id
    return f"{type(action).__name__.lower()} {job_id}"


def _is_due(action: Action, world: World) -> bool:
    """Whether the action can be carried out now, and is not being carried out."""
    if key(action) in world.under_way or key(action) in world.resting:
        return False
    if not world.has_files and _needs_files(action):
        return False
    match action:
        case Start(job):
            return (
                world.engine_starts
                and job.job_id not in world.runs
                and f"finish {job.job_id}" not in world.under_way
            )
        case Follow(job) | Retry(job):
            return job.job_id not in world.runs
        case Hurry(job):
            return job.job_id in world.runs
        case Finish(job, outcome):
            return may_finish(world.runs.get(job.job_id), outcome)
        case Remove(job_id):
            return job_id not in world.runs
        case Stop():
            return True


def may_finish(run: RunState | None, outcome: Outcome) -> bool:
    """Whether a job may be ended though a run takes it to its end now. One that is cancelled and
    has been launched meanwhile is stopped in order instead.
    """
    if run is None:
        return True
    return not run.ending and not (run.launched and outcome.reason is Reason.CANCELLED)


def _needs_files(action: Action) -> bool:
    """Containers are stopped and removed without the data directory, and jobs that were never begun
    end. Output waits in the containers.
    """
    match action:
        case Stop() | Remove():
            return False
        case Finish(job):
            return job.status is not JobStatus.QUEUED
    return True


def _wanted(world: World) -> list[Action]:
    cancelled: list[Action] = [
        Finish(job, CANCELLED)
        for job in world.jobs
        if job.status is JobStatus.QUEUED and job.cancel_requested_at is not None
    ]
    if world.workloads is None:  # nothing else can be done without seeing them
        return cancelled
    live = {job.job_id for job in world.jobs}
    by_job = {workload.job_id: workload for workload in world.workloads}
    strays = [Remove(one.job_id) for one in world.workloads if one.job_id not in live]
    slots_held = _slots_held(world.jobs, by_job, world.limits)
    actions: list[Action] = [*strays, *cancelled]
    actions += [Start(job) for job in _admitted(world, slots_held)]
    for job in world.jobs:
        if job.status is not JobStatus.QUEUED:
            actions += _plan_claimed(job, by_job.get(job.job_id), world)
    return actions


def _slots_held(
    jobs: Sequence[Job], workloads: Mapping[str, Workload], limits: PlanLimits
) -> Counter[str]:
    """By tenant, how many jobs hold a slot: all that were claimed, but for the first few whose
    command has ended: their memory and processors are free again.

    That is seen in the workloads, so it is the same for a controller that has just taken over.
    """
    claimed = Counter(job.tenant for job in jobs if job.status is not JobStatus.QUEUED)
    most_of_tenant = share_of_tenant(limits.max_collections)
    collecting: Counter[str] = Counter()
    for job in jobs:
        if collecting.total() >= limits.max_collections:
            break
        if collecting[job.tenant] < most_of_tenant and _has_ended(job, workloads.get(job.job_id)):
            collecting[job.tenant] += 1
    return claimed - collecting


def _has_ended(job: Job, workload: Workload | None) -> bool:
    """Whether the command of the job's present attempt was started, and has ended."""
    return (
        job.status is not JobStatus.QUEUED
        and workload is not None
        and workload.state is WorkloadState.EXITED
        and workload.attempt == job.attempt
    )


def _admitted(world: World, slots_held: Counter[str]) -> list[Job]:
    """The queued jobs that may start now. Tenants take turns: the one that holds the fewest slots,
    then the one whose last turn is longest ago. Within a tenant the highest priority is
    first, then first come, first served.

    Priorities are never compared across tenants: otherwise a tenant that gives all its jobs the
    highest one would keep everybody else waiting.
    """
    limits = world.limits
    slots = limits.max_concurrent_jobs - slots_held.total()
    if slots <= 0:
        return []
    queues, last_turn = _queues(world.jobs), dict(world.turns)
    turn = max(last_turn.values(), default=0)
    admitted: list[Job] = []
    while slots > len(admitted):
        heads = [
            (slots_held[tenant], last_turn.get(tenant, 0), queue[-1].created_at, tenant)
            for tenant, queue in queues.items()
            if limits.max_jobs_per_tenant is None or slots_held[tenant] < limits.max_jobs_per_tenant
        ]
        if not heads:
            break
        tenant = min(heads)[-1]
        admitted.append(queues[tenant].pop())
        slots_held[tenant] += 1
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


def _plan_claimed(job: Job, workload: Workload | None, world: World) -> list[Action]:
    if job.failing is not None:
        return [Finish(job, job.failing.outcome)]
    if (
        workload is None
        or workload.state is WorkloadState.CREATED
        or workload.attempt != job.attempt  # of an attempt that was given up; it is replaced
    ):
        return _plan_unstarted(job, world)
    cancelled = job.cancel_requested_at is not None
    if workload.state is WorkloadState.EXITED:
        return [Follow(job), Hurry(job)] if cancelled else [Follow(job)]
    if cancelled:
        return [Follow(job), Stop(job, Reason.CANCELLED)]
    if world.running.get(job.job_id, 0.0) >= job.spec.limits.timeout_seconds:
        return [Follow(job), Stop(job, Reason.TIMEOUT)]
    return [Follow(job)]


def _plan_unstarted(job: Job, world: World) -> list[Action]:
    if job.status is JobStatus.INITIALIZING:
        return [Finish(job, CANCELLED)] if job.cancel_requested_at is not None else [Start(job)]
    missing_seconds = world.missing.get(job.job_id)
    if missing_seconds is None or missing_seconds < world.limits.missing_grace_seconds:
        return []
    if job.cancel_requested_at is not None:
        return [Finish(job, CANCELLED)]
    return [Retry(job)] if job.attempt <= job.spec.retries else [Finish(job, LOST)]
