"""What one tick sees: the rows, the workloads, and what this process does about them already."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ci_common.job import Job
from ci_common.ports.workloads import Workload


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What the plan must respect."""

    max_concurrent_jobs: int
    max_jobs_per_tenant: int | None
    missing_grace_seconds: float
    """For so long a running job's workload may be unseen before the job counts as lost."""
    max_collections: int = 4
    """So many jobs whose command has ended, and whose artifacts are still collected, hold no slot.
    Further ones do, so that jobs that end fast cannot pile up."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How far this process is with a job that it launches or follows."""

    launched: bool
    """Whether there is a started workload, which must be stopped before the job can end."""
    ending: bool
    """Whether the end is being recorded, which is not to be cut short."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What this process has launched since it holds the lease."""

    epoch: int = 0
    attempts: Mapping[str, int] = field(default_factory=dict)
    """By job id."""

    def supersedes(self, workload: Workload) -> bool:
        """Whether a controller that lost the lease made the workload, after this process had
        launched the same attempt: its place in the log is not true any more.
        """
        return (
            self.attempts.get(workload.job_id) == workload.attempt and workload.epoch < self.epoch
        )


@dataclass(frozen=True, slots=True)
class World:
    """All that the plan depends on. Mappings and collections are by job id, or by the key of an
    action (see `plan.key`).
    """

    limits: PlanLimits
    jobs: Sequence[Job] = ()
    """The live ones, first come first."""
    workloads: Sequence[Workload] | None = ()
    """All there are, but for superseded ones; `None` while the engine does not answer."""
    engine_starts: bool = True
    """Whether the engine starts what it is given; while not, launches wait."""
    has_files: bool = True
    """Whether the data directory can be used; while not, output waits in the workloads."""
    missing: Mapping[str, float] = field(default_factory=dict)
    """For how many seconds the workload of a running job has not been seen."""
    running: Mapping[str, float] = field(default_factory=dict)
    """For how many seconds a job has been running, where that is known."""
    turns: Mapping[str, int] = field(default_factory=dict)
    """Of tenants: their order by when they last had a job started, from 1."""
    runs: Mapping[str, RunState] = field(default_factory=dict)
    """The jobs that this process launches or follows now."""
    under_way: Collection[str] = frozenset()
    """Keys of the stops, ends and removals that this process has begun."""
    resting: Collection[str] = frozenset()
    """Keys of the actions that the engine failed at, and that are not due again yet."""
