"""The job: what was requested (JobSpec), its state (Job), and the allowed transitions."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ci_common.git_facts import GitFacts
from ci_common.job_states import LEFT_OUT as LEFT_OUT
from ci_common.job_states import TRANSITIONS as TRANSITIONS
from ci_common.job_states import JobStatus as JobStatus
from ci_common.job_states import Reason as Reason
from ci_common.job_states import sources_of as sources_of
from ci_common.launch_step import LaunchStep


class Door(StrEnum):
    """Which interface a job came through. Retention and lists may differ by it; nothing else."""

    NATIVE = "native"
    MODELS = "models"
    """The model-job API."""
    RUNS = "runs"
    """The runs API."""
    GRPC = "grpc"
    """The Job Worker service."""


class Visibility(StrEnum):
    """Who may read a job, beside the user it belongs to and the admins of the tenant."""

    TENANT = "tenant"
    """Everybody of the tenant."""
    VIEWERS = "viewers"
    """The tenant's viewers: a job from before the others could."""
    PRIVATE = "private"
    """Nobody else."""


class Network(StrEnum):
    """What the job may reach."""

    BRIDGE = "bridge"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Upper bounds, enforced by the executor. `None` means the executor sets no bound."""

    timeout_seconds: float = 3600.0
    """Wall clock, from the start of the command."""
    cpu_percent: int | None = None
    """Percent of one core: 150 is one and a half cores."""
    memory_mb: int | None = None
    """Memory and swap together, in MiB."""
    pids: int = 4096
    """Processes and threads at any one time."""
    network: Network = Network.BRIDGE
    block_io_bytes: int | None = None
    """Bytes per second read from, and as many written to, the disk."""
    shm_mb: int | None = None
    """Size of /dev/shm, in MiB."""
    log_mb: int = 100
    """Size of the log, in MiB; beyond it the head and the tail are kept."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL when the job is stopped."""


DEFAULT_ARTIFACTS = ("output/**",)
DEFAULT_PRIORITY = 0
"""The same at every door, so that none overtakes another."""


LONGEST_TITLE = 200


def is_title(text: str) -> bool:
    """Whether a job may be called so."""
    return 0 < len(text) <= LONGEST_TITLE and text.isprintable()


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What was asked for. Fixed at submission."""

    command: tuple[str, ...]
    """The argument vector, run in the project's top directory."""
    name: str = "test"
    """Which job of the project's table this is; `test` when there is no table."""
    image: str | None = None
    """Container image; `None` is the server's `CI_IMAGE`."""
    env: dict[str, str] = field(default_factory=dict)
    limits: ResourceLimits = ResourceLimits()
    artifacts: tuple[str, ...] = DEFAULT_ARTIFACTS
    """Globs, relative to the project, of the files to keep after the end."""
    priority: int = DEFAULT_PRIORITY
    """0 to 10; 10 first. It counts among the jobs of one tenant only."""
    retries: int = 0
    """How often a job whose workload was lost is started again."""
    secrets: tuple[str, ...] = ()
    """The names of its secrets. Their values are in no row."""
    tenant_secrets: tuple[str, ...] = ()
    """Those of them that were not sent with the job: its tenant keeps them here."""
    install: tuple[str, ...] | None = None
    """Lines of a requirements file, which are installed before; `None` is what the project has."""
    git: GitFacts | None = None
    """Of the work tree that the project was packed from, where the client told."""
    tty: bool = False
    """Whether the command is on a pseudo-terminal."""
    color: bool = False
    """Whether whoever submitted it can see colours."""
    title: str | None = None
    """What people call it; of a model job the model's name."""
    labels: dict[str, str] = field(default_factory=dict)
    """See `ci_common.labels`."""
    private: bool = False
    """Whether it is for its submitter and for admins only; see Job.visibility."""
    notify: tuple[str, ...] = field(default=(), repr=False)
    """Who is told of its end: see `ci_common.notify_targets`. URLs may be secrets."""
    traceparent: str | None = None
    """Of the trace that its submission is in, where the client told; see `ci_common.trace_context`.
    """


@dataclass(frozen=True, slots=True)
class Package:
    """The uploaded zip, as it was when it was accepted."""

    sha256: str
    size: int
    """Bytes of the zip file."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a job left, kept after its end."""

    path: str
    """Relative to the project, with `/`."""
    size: int
    sha256: str
    modified_at: datetime | None = None
    """When the job wrote it, in whole seconds; `None` where that was not recorded."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One test of a JUnit report that is worth telling."""

    name: str
    """`class or file::test`."""
    seconds: float
    message: str = ""
    """Why it failed; empty for a test that did not."""
    file: str = ""
    """Where it failed, if the report tells; else where it is. Empty when that is not known."""
    line: int | None = None
    """In that file, from 1 on."""


@dataclass(frozen=True, slots=True)
class SuiteSummary:
    """What the JUnit reports among a job's artifacts say."""

    total: int
    passed: int
    failed: int
    errors: int
    skipped: int
    seconds: float
    failures: tuple[CaseResult, ...] = ()
    """Failed tests and errors, in report order; the first hundred."""
    slowest: tuple[CaseResult, ...] = ()
    """The ten that took longest, slowest first."""


@dataclass(frozen=True, slots=True)
class CoverageSummary:
    """What the coverage reports among a job's artifacts say."""

    lines_covered: int
    lines_total: int
    """Those that could have been run."""
    branches_covered: int = 0
    branches_total: int = 0
    """0 where branches were not measured."""

    @property
    def rate(self) -> float | None:
        """The share of lines that were run, rounded down to four digits; `None` without lines."""
        total = self.lines_total
        return self.lines_covered * 10_000 // total / 10_000 if total else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: the part of a terminal row that is decided at the end."""

    status: JobStatus
    reason: Reason
    message: str
    exit_code: int | None = None

    @property
    def success(self) -> bool:
        """Only a command that ran to its own end and exited with 0 succeeded."""
        return self.status is JobStatus.COMPLETED and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class BegunFailure:
    """How a live job is about to end: whoever records the end records this one."""

    outcome: Outcome
    log_offset: int
    """Where its log may say so; the output is before."""
    log_dropped: int | None
    """As it will be recorded (see Job)."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row: the request, and the facts recorded about it since."""

    job_id: str
    """A UUID4 in canonical form."""
    tenant: str
    user: str
    spec: JobSpec
    package: Package | None
    """`None` for a job that was submitted without one: it runs in an empty directory."""
    status: JobStatus
    created_at: datetime
    started_at: datetime | None = None
    """When the command started; `None` before."""
    ended_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    """The intent to cancel. What became of it is told by `status`."""
    outcome: Outcome | None = None
    """Set exactly when `status` is terminal."""
    log_size: int | None = None
    """Bytes of the whole log, what the runner itself wrote there included; set exactly when
    `status` is terminal.
    """
    log_dropped: int | None = 0
    """Bytes that the job wrote and that are not in its log: it was larger than it may be, or they
    were lost. `None` when it is not known how many. The log says where.
    """
    attempt: int = 1
    """Which start this is; more than 1 after a retry."""
    artifacts_size: int = 0
    """Bytes of all its artifacts."""
    tests: SuiteSummary | None = None
    """Set at the end, when the job left a JUnit report."""
    coverage: CoverageSummary | None = None
    """Set at the end, when the job left a coverage report."""
    door: Door = Door.NATIVE
    visibility: Visibility = Visibility.TENANT
    rerun_of: str | None = None
    """The id of the job that this one repeats, which may have been deleted since."""
    package_kept: bool = False
    """Whether its package is still here although it has ended."""
    failing: BegunFailure | None = None
    """Set while a failure is being recorded; never when `status` is terminal."""
    launch_step: LaunchStep | None = None
    """What its launch takes time for; only while it is initializing, and not always then."""

    @property
    def has_package(self) -> bool:
        """Whether its package is here: until its end, and then for as long as it is kept."""
        return self.package is not None and (self.package_kept or not self.status.is_terminal)

    @property
    def artifacts_left_out(self) -> str | None:
        """Which of its artifacts were not kept, and why, for people; `None` when all were."""
        if self.outcome is None:
            return None
        return self.outcome.message.partition(LEFT_OUT)[2] or None


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def format_time(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with `Z`, milliseconds: the only form times take outside Python."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str | None) -> datetime | None:
    """Read what `format_time` wrote."""
    return None if text is None else datetime.fromisoformat(text)
