"""The ports between the rooms, split by who uses them. Each docstring is the contract.

All coroutine methods may be called concurrently on one event loop. Times are aware UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from ci_common.job import Artifact, Job, JobStatus, Outcome, Package, SuiteSummary

# --------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What the controller last said of itself."""

    heartbeat_at: datetime
    engine_error: str | None
    """Why the engine is unreachable; `None` when it answered."""


class JobSubmissions(Protocol):
    """The server's side of the rows: it writes intents and reads facts."""

    async def add(self, job: Job) -> None:
        """Store a queued job durably (it survives a power cut once this returns)."""

    async def get(self, job_id: str) -> Job | None:
        """One job, or `None`."""

    async def list_jobs(
        self, tenant: str, status: JobStatus | None, limit: int, before: str | None
    ) -> list[Job]:
        """The tenant's jobs, newest first, at most `limit`, older than the job `before`.

        A `before` that is not a job of the tenant raises JobNotFoundError.
        """

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """The artifacts recorded for a job, by path."""

    async def artifact(self, job_id: str, path: str) -> Artifact | None:
        """One of them, or `None`."""

    async def queue_position(self, job: Job) -> int:
        """The place of a queued job among those of its tenant, from 1; others are not counted,
        because a tenant must not learn of them.
        """

    async def request_cancel(self, job_id: str, at: datetime) -> Job:
        """Record the wish to cancel and return the row after it; safe to repeat.

        Raises JobNotFoundError, or JobFinishedError when the job is terminal.
        """

    async def controller_state(self) -> ControllerState | None:
        """The last heartbeat, or `None` when no controller ever ran on this database."""

    async def check_writable(self) -> None:
        """Raise NotReadyError unless a write transaction can be committed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that is recorded at a job's end, in one transaction."""

    outcome: Outcome
    log_size: int
    log_dropped: int = 0
    artifacts: tuple[Artifact, ...] = ()
    tests: SuiteSummary | None = None


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

    async def retry(self, job_id: str, attempt: int) -> bool:
        """running -> initializing of the next attempt, when `attempt` is the one that was lost."""

    async def finish(self, job_id: str, ending: Ending, at: datetime) -> bool:
        """Any live status -> `ending.outcome.status`. What the ending speaks of must be on disk."""


@dataclass(frozen=True, slots=True)
class FinishedTotals:
    """What finished jobs take, all together."""

    jobs: int
    stored_bytes: int
    """Of their logs, as they are on disk, and of their artifacts."""


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What retention asks about a finished job."""

    job_id: str
    ended_at: datetime
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class FileDeletion:
    """Files whose row is gone already."""

    job_id: str
    artifacts_only: bool
    """The job and its log stay."""


class JobRetention(Protocol):
    """The rows as retention sees them. Every method costs O(what it returns), however many
    finished jobs there are.

    Whatever changes rows is fenced by the controller lease like a transition: without it,
    nothing happens. Rows go first, and in the same transaction what files are to follow is
    noted, so that after a crash at any point the files are still known, and no row speaks of
    files that are gone.
    """

    async def totals(self) -> FinishedTotals:
        """What finished jobs take now."""

    async def oldest(self, limit: int) -> list[FinishedJob]:
        """Finished jobs, the one that ended first comes first."""

    async def delete_jobs(self, job_ids: Sequence[str]) -> int:
        """Forget finished jobs and note their files; returns how many that were."""

    async def expire_artifacts(self, ended_before: datetime, limit: int) -> int:
        """Forget the artifacts of the jobs that ended first, and note their files; returns of
        how many jobs that were.
        """

    async def file_deletions(self, limit: int) -> list[FileDeletion]:
        """Files that were noted and not reported deleted yet."""

    async def files_deleted(self, deletions: Sequence[FileDeletion]) -> None:
        """The files are gone, for good."""

    async def uncompressed(self, ended_before: datetime) -> tuple[str, int] | None:
        """The job that ended first of those whose log is not compressed, and its log's size."""

    async def log_compressed(self, job_id: str, stored_bytes: int) -> bool:
        """The log takes so many bytes on disk now. Also for one that cannot be compressed."""


class ControllerLease(Protocol):
    """At most one process reconciles a database at any time."""

    async def acquire(self, holder: str, now: datetime, ttl_seconds: float) -> int | None:
        """Take the lease, or renew it when `holder` has it; `None` when another holds it.

        Returns the epoch, which a take-over counts up and a renewal keeps. After a take-over
        every transition of the old holder is refused. One that has lost the lease is told so
        (`None`) before it gets it again, even when it is free: until then it may have work of
        its old epoch under way.
        """

    async def report_engine(self, error: str | None) -> None:
        """Publish whether the engine answers (`None`) or why not; ignored without the lease."""

    async def release(self, holder: str) -> None:
        """Let another process take over at once; safe to repeat, and without holding it."""


# --------------------------------------------------------------------------- logs


class LogReader(Protocol):
    """Reads the append-only log of a job. Offsets are bytes and valid for ever.

    Methods are quick (the page cache holds live logs) and may be called from any thread.
    A job without a log yet has size 0.
    """

    def size(self, job_id: str) -> int:
        """Bytes stored so far."""

    def read(self, job_id: str, offset: int, limit: int) -> bytes:
        """`limit` bytes from `offset`; fewer only at the end. Raises LogCorruptError rather than
        returning bytes that are not the log's.
        """


class LogAppender(Protocol):
    """The one open end of a log. Used by one thread at a time."""

    @property
    def size(self) -> int:
        """Bytes stored so far, which is the offset of the next byte."""

    def append(self, content: bytes) -> None:
        """Add bytes at the end; readers see them at once. All or, on an error, a prefix."""

    def sync(self) -> None:
        """Return only when everything appended would survive a power cut."""

    def truncate(self, size: int) -> None:
        """Cut off what a crash left half written at the end. Only for bytes no reader was sent."""

    def close(self) -> None:
        """Give up the file; safe to repeat."""


class LogWriter(Protocol):
    """Opens logs for writing."""

    def open(self, job_id: str, epoch: int) -> LogAppender:
        """The end of the job's log, made when there is none, for the holder of the controller
        lease in `epoch`. It may wait for the disk: call it on another thread.

        One appender a job at a time: one of an earlier epoch, whose process does not know yet
        that it lost the lease, writes into nothing from now on. Raises LeaseLostError when the
        log was opened in a later epoch, or compressed: then the job has ended.
        """


class LogKeeper(Protocol):
    """What becomes of logs after the job's end. Slow: call it on another thread.

    At most one process does this, the holder of the controller lease; readers see no difference.
    """

    def compress(self, job_id: str, size: int) -> int:
        """Compress a finished log of `size` bytes; returns the bytes it takes on disk now.

        Safe to repeat, and to be killed at any point. Raises LogCorruptError, and keeps the log
        as it is, when it has not all of the bytes; OSError when the disk is full.
        """

    def delete(self, job_id: str) -> None:
        """Remove the log for good (a power cut does not bring it back); safe to repeat."""


class JobSignals(Protocol):
    """Wakes watchers. A hint: watchers look at the stores, now and then also unasked."""

    def notify(self, job_id: str) -> None:
        """Something about the job changed. Any thread; never blocks; cheap when unwatched."""

    def subscribe(self, job_id: str) -> "JobSubscription":
        """Be woken, on the running event loop, from now on."""


class JobSubscription(Protocol):
    """One watcher's wake-up call. Wake-ups between two waits are merged, never lost."""

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True when notified since the last wait, False after the time-out."""

    def close(self) -> None:
        """Stop being woken; safe to repeat."""


# --------------------------------------------------------------------------- packages


class StagedUpload(Protocol):
    """An upload on its way in. Exactly one of `commit` and `discard` ends it."""

    path: Path
    """The file as it stands, for inspection after the last write."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, content: bytes) -> None:
        """Append to the file. Raises DiskFullError."""

    def commit(self, job_id: str) -> Package:
        """Make the file durable under the job's id; it survives a power cut afterwards.

        Raises DiskFullError.
        """

    def discard(self) -> None:
        """Remove the file; safe to repeat, also after `commit`, which it does not undo."""


class PackageIntake(Protocol):
    """The server's side of the package store."""

    def stage(self) -> StagedUpload:
        """Start an upload. Raises DiskFullError below the disk floor."""

    def delete(self, job_id: str) -> None:
        """Remove a committed package; safe to repeat."""

    def check_space(self) -> None:
        """Raise DiskFullError below the disk floor."""


class Packages(Protocol):
    """The controller's side of the package store."""

    def verified(self, job: Job) -> Path:
        """The job's zip, its SHA-256 checked. Raises PackageCorruptError."""

    def delete(self, job_id: str) -> None:
        """Remove a job's zip; safe to repeat."""

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that have had a zip here for so long."""

    def sweep_staging(self, older_than_seconds: float) -> None:
        """Remove uploads that nobody has written to for so long."""


# --------------------------------------------------------------------------- artifacts


class ArtifactBatch(Protocol):
    """The artifacts of one job on their way in. Exactly one of `commit` and `discard` ends it.

    Used by one thread at a time. Raises OSError when the disk is full, and LeaseLostError when
    another batch of the job was begun: by a controller that has taken over.
    """

    def add(self, path: str, content: Iterator[bytes]) -> Artifact:
        """Store a file; `path` is relative, without `..`, and not in the batch yet."""

    def commit(self) -> None:
        """Make all durable under the job's id, in place of what was there."""

    def discard(self) -> None:
        """Remove everything; safe to repeat, also after `commit`, which it does not undo."""


class ArtifactWriter(Protocol):
    """The controller's side of the artifact store."""

    def begin(self, job_id: str) -> ArtifactBatch:
        """Start a batch; what a former one that never ended left is removed."""

    def delete(self, job_id: str) -> None:
        """Remove a job's artifacts; safe to repeat."""

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that have had artifacts here for so long."""

    def sweep_staging(self, older_than_seconds: float) -> None:
        """Remove batches that were begun so long ago, and never ended."""


class ArtifactReader(Protocol):
    """The server's side of the artifact store."""

    def open(self, job_id: str, artifact: Artifact) -> BinaryIO:
        """A stored file, to be closed by the caller. Raises ArtifactNotFoundError."""


# --------------------------------------------------------------------------- the doorbell


class Doorbell(Protocol):
    """Rings the controller of this database, in whichever process it lives."""

    def ring(self) -> None:
        """Ask for a tick now. A hint: never blocks, never fails."""


class DoorbellListener(Protocol):
    """The controller's ear."""

    def listen(self) -> None:
        """Become the one that is rung, on the running event loop; replaces a former one."""

    async def wait(self, timeout_seconds: float) -> None:
        """Return when rung since the last wait, or after the time-out."""

    def close(self) -> None:
        """Stop listening; safe to repeat."""


class ControllerBell(Doorbell, DoorbellListener, Protocol):
    """The controller rings itself too, when a slot becomes free."""


# --------------------------------------------------------------------------- workloads


class WorkloadState(StrEnum):
    """What the executor sees of a workload."""

    CREATED = "created"
    """Made, but its command was never started."""
    RUNNING = "running"
    EXITED = "exited"
    """Its command ended; exit code and output can still be had."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One job's container or process group, as the executor sees it."""

    job_id: str
    state: WorkloadState
    log_base: int = 0
    """The offset in the job's log at which the workload's own output begins."""
    attempt: int = 1
    """The job's attempt that it was launched for."""
    exit_code: int | None = None
    """128 + n for a command killed by signal n."""
    oom_killed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Output(Protocol):
    """The workload's output bytes, stdout and stderr in the order they were written.

    `read` blocks and is for one thread; `close` may come from any other.
    """

    def read(self) -> bytes:
        """The next bytes; empty at the end, after `close`, or when a live connection dropped.

        Raises EngineUnavailableError when the reading of stored output is cut short.
        """

    def close(self) -> None:
        """Make a blocked `read` return, and free the connection; safe to repeat."""


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """A regular file that a workload left."""

    path: str
    """Relative to the project. Bytes that are not UTF-8 are surrogates (`os.fsdecode`)."""
    size: int
    modified_at: datetime
    """Where only the second is known, its end."""
    content: Iterator[bytes]
    """To be read before the next file is asked for; what is left of it then is lost."""


class WorkloadFiles(Protocol):
    """Files of an exited workload, in one pass, by path, for one thread. Close it when done.

    Links and special files are left out, as is a file under its second name.
    """

    def __iter__(self) -> Iterator[WorkloadFile]:
        """The files. Raises EngineUnavailableError when the connection breaks or was closed, and
        FilesUnreadableError when it does not help to try again.
        """

    def close(self) -> None:
        """Make a blocked read fail, and free the connection; safe to repeat, from any thread."""


class Executor(Protocol):
    """Runs workloads; knows nothing of rows or users.

    It finds its own workloads again after a restart by itself, and touches no others. Any
    method may raise EngineUnavailableError, after which the call may be repeated. Per job,
    `launch` and `reattach` are not called concurrently; everything else may be.
    """

    async def list_workloads(self) -> Sequence[Workload]:
        """All workloads of this instance; exit codes and times may be missing here."""

    async def inspect(self, job_id: str) -> Workload | None:
        """The workload with everything known about it, or `None` when there is none."""

    async def launch(self, job: Job, package: Path, log: LogAppender, epoch: int) -> Output:
        """Install requirements (their output goes to `log`), make the workload, start it.

        A leftover of an earlier attempt is replaced, but never one of a later `epoch` of the
        controller lease: then LeaseLostError is raised. Nothing is left behind when this raises
        (SetupFailedError, ImageUnavailableError, PackageCorruptError, LaunchFailedError). When
        it is cancelled a workload may be there, for `remove` or for the next controller. The
        returned output misses nothing: it was connected before the command started.
        """

    async def reattach(self, job_id: str, skip: int) -> Output:
        """The output of a started workload again, without its first `skip` bytes, and on.

        Raises WorkloadLostError when there is no such workload.
        """

    async def files(self, job_id: str, path: str) -> WorkloadFiles | None:
        """The regular files at or below a path of the project (`.` is all of it), once the
        workload has exited; `None` when there is no such path. To be read on another thread.

        Raises WorkloadLostError when there is no such workload, and FilesUnreadableError.
        """

    async def stop(self, job_id: str, grace_seconds: float) -> None:
        """SIGTERM to every process, SIGKILL after the grace. Returns when it has ended.

        Safe to repeat and without a workload.
        """

    async def remove(self, job_id: str) -> None:
        """Remove the workload and all it held, running or not; safe to repeat."""

    async def tidy(self) -> None:
        """Keep caches within their budget. Called now and then."""

    async def close(self) -> None:
        """Free connections. Workloads go on."""
