"""The rows of the jobs, as the server and the controller use them, and who may move them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from ci_common.coverage_files import CoverageFiles
from ci_common.errors import EngineDisturbedError
from ci_common.job import Artifact, CoverageSummary, Door, Job, JobStatus, Outcome, SuiteSummary
from ci_common.launch_step import LaunchStep
from ci_common.policy import JobScope
from ci_common.ports.audit import AuditEntry
from ci_common.ports.usage import NO_QUOTAS, Quotas
from ci_common.progress import Progress
from ci_common.resources import ResourceSeries
from ci_common.run import RunRequest

CONTROLLER_SILENCE_SECONDS = 10.0
"""A controller that has not been heard of for so long counts as down."""


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What the controller last said of itself."""

    heartbeat_at: datetime
    engine_error: str | None
    """Why no job can be started; `None` when the engine answers and starts what it is given."""

    @property
    def engine_is_disturbed(self) -> bool:
        """Whether the engine answers all the same."""
        return (self.engine_error or "").startswith(EngineDisturbedError.code)

    def is_silent(self, now: datetime) -> bool:
        """Whether it has not been heard of for too long."""
        return now - self.heartbeat_at > timedelta(seconds=CONTROLLER_SILENCE_SECONDS)


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What every job that waits depends on."""

    controller: ControllerState | None
    """`None` when no controller ever ran."""
    under_way: Mapping[str, int] = field(default_factory=dict)
    """By tenant, the jobs that are initializing or running; those who have none are left out."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One way in which a job may stand; `None` does not narrow."""

    status: JobStatus
    success: bool | None = None
    cancel_requested: bool | None = None


class JobSort(StrEnum):
    """What orders a list; a `-` in front of it means the largest first."""

    SUBMITTED = "submitted"
    ENDED = "ended"
    """Only jobs that have ended."""
    DURATION = "duration"
    """Of the command; only jobs that have ended and had started."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are asked for; `None` does not narrow."""

    states: tuple[JobState, ...] | None = None
    """Only jobs that stand in one of these ways."""
    limit: int = 100
    before: str | None = None
    """The id of a job: only those that come after it in the list, which are older ones in the
    order that lists have by default.
    """
    door: Door | None = None
    user: str | None = None
    name: str | None = None
    reason: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """Keys and values; a job has them all."""
    ids: tuple[str, ...] | None = None
    """Only jobs with one of these ids."""
    since: datetime | None = None
    """Submitted then, or later."""
    until: datetime | None = None
    """Submitted before."""
    text: str | None = None
    """Words that all occur in what people know of the job: its name, title, command, user, labels
    and message. ASCII letters may be upper or lower case.
    """
    sort: JobSort = JobSort.SUBMITTED
    descending: bool = True


@dataclass(frozen=True, slots=True)
class StartOutlook:
    """What tells when a queued job will start."""

    ahead: int | None
    """Jobs of its tenant that are started before it; `None` when it does not wait any more."""
    busy_of_tenant: int
    """Other jobs of its tenant that are under way."""
    busy: int
    """Other jobs of all tenants that are under way."""
    recent_seconds: tuple[float, ...]
    """How long the tenant's last successful jobs of the same door and title took, newest first;
    of the native door none.
    """


class JobSubmissions(Protocol):
    """The server's side of the rows: it writes intents and reads facts."""

    async def add(
        self,
        job: Job,
        quotas: Quotas = NO_QUOTAS,
        audit: AuditEntry | None = None,
        run: RunRequest | None = None,
    ) -> None:
        """Store a queued job durably (it survives a power cut once this returns), and with it,
        or not at all, the entry of the audit log and the run that it is the job of.

        Raises TooManyJobsError or QuotaExceededError instead, when with it there were more than
        the quotas allow: exactly, however many processes add jobs at once.
        """

    async def check_room(self, tenant: str, user: str, quotas: Quotas) -> None:
        """Raise what `add` would raise now, even for an empty package."""

    async def get(self, job_id: str) -> Job | None:
        """One job, or `None`."""

    async def find(self, scope: JobScope, prefix: str) -> Job | None:
        """The one job in the scope whose id begins so, or `None`. A prefix has four characters at
        least, in lower case; a whole id is one, too.

        Raises AmbiguousJobIdError when there are several.
        """

    async def list_jobs(self, scope: JobScope, query: JobQuery) -> list[Job]:
        """The jobs in the scope that match, in the order that the query asks for.

        A `before` that is not in the scope, or not in a list of this order, raises
        JobNotFoundError.
        """

    async def count_jobs(self, scope: JobScope, query: JobQuery) -> int:
        """How many jobs in the scope match, whatever `limit` and `before`."""

    async def artifacts(self, job_id: str, most: int | None = None) -> list[Artifact]:
        """The artifacts recorded for a job, by path; all, or so many at most."""

    async def artifacts_of(self, job_ids: Sequence[str], most: int) -> dict[str, list[Artifact]]:
        """The same for several jobs, so many of each at most; those without any are left out."""

    async def artifact(self, job_id: str, path: str) -> Artifact | None:
        """One of them, or `None`."""

    async def queue_position(self, job: Job) -> int | None:
        """The place of a queued job among those of its tenant, from 1, in the order in which they
        are started; `None` for one that does not wait for its start, or will not be started.

        Jobs of other tenants are not counted. Tenants take turns, so they do not change the order
        of the tenant's own jobs, and a tenant must not learn of them.
        """

    async def queue_positions(self, tenant: str) -> dict[str, int]:
        """The same for all queued jobs of a tenant, by job id."""

    async def start_outlook(self, job: Job) -> StartOutlook:
        """What tells when a queued job will start. It costs the same however many jobs there are
        that have ended.
        """

    async def request_cancel(
        self,
        job_id: str,
        at: datetime,
        audit: AuditEntry | None = None,
        *,
        only_queued: bool = False,
    ) -> Job:
        """Record the wish to cancel and return the row after it; safe to repeat. With the first
        wish, or not at all, goes the entry of the audit log.

        Raises JobNotFoundError, or JobFinishedError when the job is terminal; with `only_queued`
        JobStartedError when it is under way.
        """

    async def controller_state(self) -> ControllerState | None:
        """The last heartbeat, or `None` when no controller ever ran on this database."""

    async def server_load(self) -> ServerLoad:
        """What every job that waits depends on. It costs the same however many jobs have ended."""

    async def check_writable(self) -> None:
        """Raise NotReadyError, or DatabaseUnavailableError, unless a write transaction can be
        committed.
        """


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that is recorded at a job's end, in one transaction."""

    outcome: Outcome
    log_size: int
    log_dropped: int | None = 0
    """`None` when it is not known how many bytes of the output are not in the log."""
    artifacts: tuple[Artifact, ...] = ()
    tests: SuiteSummary | None = None
    coverage: CoverageSummary | None = None
    coverage_files: CoverageFiles | None = None
    resources: ResourceSeries | None = None
    """What it used; `None` where nothing was sampled."""


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """The latest progress of a running job."""

    job_id: str
    attempt: int
    progress: Progress

    def following(self, earlier: "ProgressReport | None") -> "ProgressReport":
        """This report, see `Progress.following`; an earlier attempt's tells nothing of this one."""
        if earlier is None or earlier.attempt != self.attempt:
            return self
        return replace(self, progress=self.progress.following(earlier.progress))


class JobTransitions(Protocol):
    """The controller's side of the rows: it alone moves a job.

    Every move is one guarded UPDATE and is fenced by the controller lease: it returns False,
    and changes nothing, when the job is not in a status the move may start from, or when this
    process no longer holds the lease. Safe to repeat.
    """

    async def active(self) -> list[Job]:
        """All jobs that are not terminal, first come first."""

    async def get(self, job_id: str) -> Job | None:
        """One job, or `None`."""

    async def claim(self, job_id: str) -> bool:
        """queued -> initializing."""

    async def mark_running(self, job_id: str, at: datetime) -> bool:
        """initializing -> running."""

    async def note_launch_step(self, job_id: str, attempt: int, step: LaunchStep) -> bool:
        """Say what the launch of an initializing job takes time for (see `Job.launch_step`), when
        `attempt` is the one that is launched. It moves nothing, and no event tells it.
        """

    async def retry(self, job_id: str, attempt: int) -> bool:
        """running -> initializing of the next attempt, when `attempt` is the one that was lost."""

    async def begin_failure(self, job_id: str, ending: Ending) -> bool:
        """Commit to this failure of a live job (see `Job.failing`), so that its log may say so from
        `ending.log_size` on; False also when one was committed to before. What is before that in
        the log must be on disk.
        """

    async def finish(
        self, job_id: str, ending: Ending, at: datetime, *, keep_package: bool = False
    ) -> bool:
        """Any live status -> `ending.outcome.status`. What the ending speaks of must be on disk.

        With `keep_package` the job's package, if it has one, stays: retention drops it some day.
        """

    async def report_progress(self, reports: Sequence[ProgressReport], at: datetime) -> None:
        """Add a PROGRESS event for each report, in one transaction. Changes no job. What a report
        does not say of iteration and score, its event has from the attempt's last one. A report is
        ignored when its attempt is not running, or when its event would equal the job's last one.
        """


class ControllerLease(Protocol):
    """At most one process reconciles a database at any time."""

    async def acquire(self, holder: str, now: datetime, ttl_seconds: float) -> int | None:
        """Take the lease, or renew it when `holder` has it; `None` when another holds it.

        `now` is by the wall clock, which somebody may set: that neither ends the lease of one that
        renews it, nor makes that of one that does not last longer.

        Returns the epoch, which a take-over counts up and a renewal keeps. After a take-over
        every transition of the old holder is refused. One that has lost the lease is told so
        (`None`) before it gets it again, even when it is free: until then it may have work of
        its old epoch under way.
        """

    async def report_engine(self, error: str | None) -> None:
        """Publish why no job can be started (see ControllerState), or that all is well (`None`);
        ignored without the lease.
        """

    async def release(self, holder: str) -> None:
        """Let another process take over at once; safe to repeat, and without holding it."""
