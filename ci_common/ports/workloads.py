"""The port of executors: the workloads that one runs, and what is left in them.

The calls, in the order in which a controller makes them:

    list_workloads          at each tick: what there is, to compare with the rows
    launch | reattach       a new workload and its output | the output of one that is there
      output.read           until its end, on a thread of its own
      output.stored         now and then: what is on disk, and need not be kept
      output.close
    inspect                 after the output's end, until the workload has exited: its exit code
    files                   the files it left, on another thread
    remove                  once the end is recorded
    stop                    at any time, when somebody wants the end

and beside the way of one job:

    check                   once per launch, before it: which limits are not enforced
    usage                   every few seconds, while it runs
    probe                   after a launch that failed: whether anything can be started there
    tidy                    now and then
    leftovers, remove_leftover
                            by the operator (`ci-admin doctor`), also while a controller runs
    close                   at the end of the process; workloads go on

An executor is made by its factory in `ci_controller.executors.registry`. It gets no rows, users or
paths of the server: see `launch_request`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from ci_common.launch_step import LaunchStage
from ci_common.ports.launch_request import LaunchRequest, ProbeRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.unenforced_limits import Unenforced
from ci_common.resources import ResourceUsage

OnStage: TypeAlias = Callable[[LaunchStage], None]
"""Is called, from any thread, before what may take long."""


def untold(stage: LaunchStage) -> None:
    """Nobody wants to know."""


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
    epoch: int = 0
    """Of the controller lease it was launched under; 0 when that was not written down."""
    exit_code: int | None = None
    """128 + n for a command killed by signal n."""
    oom_killed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutputEnd:
    """How an output ended."""

    size: int
    """Size of the output in bytes, including skipped and replaced ones."""
    lost: int | None = 0
    """Bytes that were written and cannot be had; `None` when it is not known how many, or whether
    any."""
    why: str = ""
    """Why bytes are missing at the end, for people. Those that are missing before it the output
    itself has replaced: by a line that says so, and is as long as they were."""
    exit_code: int | None = None
    """As whoever kept the output wrote it down; the executor's own word may be worse, when it was
    ended between the command's end and its record."""
    note: bytes = b""
    """A line that the controller adds; a function of the output and the exit code."""


class Output(Protocol):
    """The workload's output bytes, stdout and stderr in the order they were written.

    Each byte is delivered exactly once, even if a reader was slow, suspended or restarted. `read`
    blocks and is for one thread; `stored` is for one other; `close` may come from any.
    """

    def read(self) -> bytes:
        """The next bytes; empty at the end, which `end` then tells, or after `close`, or when the
        connection was ended from the other side: then `end` is `None`, and it takes another.

        Raises EngineUnavailableError when it breaks, WorkloadLostError when the workload is gone,
        and LaunchFailedError when its command could not be started after all.
        """

    @property
    def end(self) -> OutputEnd | None:
        """How it ended, once `read` has come to the end: the workload has exited, or exits now."""

    def stored(self, offset: int) -> None:
        """Acknowledge that all bytes before `offset` are durable; they may be discarded.

        What is not acknowledged is kept for whoever reads next, up to a bound; then the workload
        waits. It may block and may be repeated. Raises what `read` raises.
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
    """Where only the second is known, its beginning. What is no date is the nearest one that is."""
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


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a crash left with an executor besides workloads, and nothing refers to."""

    id: str
    """By which its executor finds it."""
    kind: str
    """What it is, for people, such as "container of a set-up"."""
    name: str
    """Which one it is, for people."""


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

    async def launch(
        self, request: LaunchRequest, log: LogAppender, on_stage: OnStage = untold
    ) -> Output:
        """Check the package's digest, install requirements (their output goes to `log`), make the
        workload, start it. Without a package its workspace is empty. `on_stage` is told what
        takes long, and nothing of what is there already.

        The command, and not the installation, gets the secrets: each as a file that only its
        user can read, in the directory that `CI_SECRETS_DIR` names, and, where it is wanted, as
        a variable. They are in nothing that outlives the workload, nor in its description.

        A workload of an earlier attempt is replaced, but never one of a later epoch of the
        controller lease: then LeaseLostError is raised. Nothing is left behind when this raises
        (SetupFailedError, ImageUnavailableError, PackageCorruptError, LaunchFailedError). When
        it is cancelled a workload may be there, for `remove` or for the next controller. The
        returned output misses nothing.
        """

    async def reattach(self, job_id: str, skip: int) -> Output:
        """The output of a started workload again, without its first `skip` bytes, and on. What
        was said to be stored may be gone.

        Raises WorkloadLostError when there is no such workload.
        """

    async def files(self, job_id: str, path: str) -> WorkloadFiles | None:
        """The regular files at or below a path of the project (`.` is all of it), once the
        workload has exited; `None` when there is no such path. To be read on another thread.

        Raises WorkloadLostError when there is no such workload, and FilesUnreadableError.
        """

    async def stop(self, job_id: str, grace_seconds: float) -> None:
        """SIGTERM to the command's process group, SIGKILL to all processes after the grace, or
        a little later. Returns when it has ended.

        Safe to repeat and without a workload.
        """

    async def remove(self, job_id: str) -> None:
        """Remove the workload and all it held, running or not; safe to repeat."""

    async def check(self) -> Sequence[Unenforced]:
        """The limits that this executor cannot enforce, whichever job has them. It may change
        nothing but what it tries out, and answers at once the second time.
        """

    async def usage(self, job_id: str) -> ResourceUsage | None:
        """What a running workload uses; `None` when there is none, when it has ended, and where
        this cannot be told. Called every few seconds for each job, and given up when it takes long.
        """

    async def describe(self) -> str:
        """What jobs run in, in a line for people: the engine, and whether it has the image of jobs
        that name none.
        """

    async def probe(self, request: ProbeRequest) -> None:
        """Start a workload that does nothing and has default options, where a job's launch has
        failed, and remove it: what `launch` raised is the job's own fault when this returns.

        Raises EngineDisturbedError when no such workload can be started, and LaunchFailedError
        when that is so because of a setting and will not pass.
        """

    async def tidy(self, epoch: int) -> None:
        """Keep caches within their budget, and remove what set-ups that nobody waits for any more
        left: of this `epoch` of the controller lease or earlier ones. Called now and then.
        """

    async def leftovers(self, older_than_seconds: float) -> Sequence[Leftover]:
        """What is left of set-ups and probes whose controller is gone, at least so old. Something
        younger may be in use, unless the caller knows that no controller runs.
        """

    async def remove_leftover(self, leftover: Leftover) -> None:
        """Remove one; safe to repeat."""

    async def close(self) -> None:
        """Free connections. Workloads go on."""
