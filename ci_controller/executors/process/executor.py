"""Jobs as processes (port Executor): own process group, own directory, unprivileged user.

Nothing more: a command sees the machine's files and network, and limits other than the
time-out are not enforced.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from ci_common.completion import on_thread
from ci_common.errors import LaunchFailedError, LeaseLostError, WorkloadLostError
from ci_common.ports.launch_request import LaunchRequest, ProbeRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.unenforced_limits import Limit, Unenforced
from ci_common.ports.workloads import Executor, Leftover, OnStage, Output, Workload, untold
from ci_common.resources import ResourceUsage
from ci_common.secret import Secret
from ci_controller.executors.process import supervisor
from ci_controller.executors.process.environments import (
    Environments,
    inherited_environment,
    unpack,
)
from ci_controller.executors.process.files import DirectoryFiles
from ci_controller.executors.process.output import open_output
from ci_controller.executors.process.state import WorkloadDirectories, signal_group
from ci_controller.executors.process.supervisor import write_json
from ci_controller.executors.process.usage import session_usage
from ci_controller.executors.shared.interruption import Interruption
from ci_controller.executors.shared.job_environment import job_environment
from ci_controller.executors.shared.package import verify

UNPRIVILEGED_USER = "nobody"

_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 5.0
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Whose processes, and where their files are."""

    instance_id: str
    data_path: Path
    setup_timeout_seconds: float = 900.0
    work_mb: int | None = None
    """What a job may write to disk, in MiB; it is not enforced, and said so."""
    setup_env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the installation, such as an index."""


class ProcessExecutor(Executor):
    """Results are written to files by a supervisor, so they survive the controller."""

    def __init__(self, options: ProcessOptions) -> None:
        self._states = options.data_path / "workloads"
        self._states.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not below the data directory, which the unprivileged user may not enter.
        self._works = Path(tempfile.gettempdir()) / f"ci-runner-{options.instance_id}"
        environments = self._works / "environments"
        self._environments = Environments(
            environments, options.setup_timeout_seconds, options.setup_env
        )
        self._launching: set[str] = set()
        self._tidying = asyncio.Lock()
        self._bounds_work = options.work_mb is not None
        self._user = pwd.getpwnam(UNPRIVILEGED_USER).pw_uid if os.geteuid() == 0 else None

    @override
    async def list_workloads(self) -> Sequence[Workload]:
        found = (self._directories(path.name).workload() for path in self._state_paths())
        return [workload for workload in found if workload is not None]

    def _state_paths(self) -> list[Path]:
        """None when the data directory is another one now, or gone: then nothing is planned."""
        return list(self._states.iterdir()) if self._states.is_dir() else []

    @override
    async def inspect(self, job_id: str) -> Workload | None:
        return self._directories(job_id).workload()

    @override
    async def launch(
        self, request: LaunchRequest, log: LogAppender, on_stage: OnStage = untold
    ) -> Output:
        await verify(request.package)
        self._check_reachable()
        async with self._tidying:  # `tidy` may be removing this directory
            self._launching.add(request.job_id)
        try:
            return await self._launch(request, log, on_stage)
        finally:
            self._launching.discard(request.job_id)

    async def _launch(self, request: LaunchRequest, log: LogAppender, on_stage: OnStage) -> Output:
        directories = self._directories(request.job_id)
        if directories.epoch > request.epoch:
            raise LeaseLostError
        await self.remove(request.job_id)
        self._make_works()
        programs = await self._environments.bin_directories(request, log, on_stage)
        interruption = Interruption()

        def begin() -> Output:
            self._unpack(directories, request, interruption)
            return self._begin(directories, request, programs, log.size)

        making = asyncio.ensure_future(asyncio.to_thread(begin))
        try:
            return await asyncio.shield(making)
        except BaseException:
            interruption.ask()
            await asyncio.wait([making])  # a thread goes on; what it makes is to be removed, too
            error = making.exception()
            if error is None:
                making.result().close()
            if not isinstance(error, (LeaseLostError, LaunchFailedError)):  # what is there is ours
                await asyncio.shield(self.remove(request.job_id))
            raise

    @override
    async def reattach(self, job_id: str, skip: int) -> Output:
        return open_output(self._directories(job_id), skip)

    @override
    async def files(self, job_id: str, path: str) -> DirectoryFiles | None:
        try:
            found = DirectoryFiles(self._directories(job_id).work, path)
        except FileNotFoundError as error:
            raise WorkloadLostError from error
        return found if found.exists else None

    @override
    async def stop(self, job_id: str, grace_seconds: float) -> None:
        directories = self._directories(job_id)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        asked = False
        while not directories.has_ended:
            if (group := directories.group) is not None:
                if loop.time() >= deadline:
                    signal_group(group, signal.SIGKILL)
                elif not asked:
                    asked = signal_group(group, signal.SIGTERM)
            # The end shows in files that another process writes: nothing to be woken by.
            await asyncio.sleep(_POLL_SECONDS)
        directories.kill_orphans()

    @override
    async def remove(self, job_id: str) -> None:
        directories = self._directories(job_id)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.stop(job_id, 0)
        except TimeoutError:
            # The supervisor is suspended, or cannot write. Its record is not needed any more.
            directories.kill_supervisor()
            await self.stop(job_id, 0)
        await on_thread(directories.remove)  # else it could remove files of the next launch

    @override
    async def check(self) -> Sequence[Unenforced]:
        kept = {Limit.RUNTIME} if self._bounds_work else {Limit.RUNTIME, Limit.WORK}
        why = "jobs are processes here (CI_EXECUTOR=process); containers have limits"
        return [Unenforced(limit, why) for limit in Limit if limit not in kept]

    @override
    async def usage(self, job_id: str) -> ResourceUsage | None:
        directories = self._directories(job_id)
        if directories.has_ended or (group := directories.group) is None:
            return None
        return await asyncio.to_thread(session_usage, group)

    @override
    async def describe(self) -> str:
        return "processes of this machine, not isolated (CI_EXECUTOR=process)"

    @override
    async def probe(self, request: ProbeRequest) -> None:
        """There is no engine between a process and its start."""

    @override
    async def tidy(self, epoch: int) -> None:
        """Remove what workloads without a result left."""
        for path in self._state_paths():
            async with self._tidying:
                await self._tidy(path.name, epoch)

    async def _tidy(self, job_id: str, epoch: int) -> None:
        directories = self._directories(job_id)
        if job_id in self._launching or directories.epoch > epoch:
            return
        if directories.has_ended and directories.workload() is None and directories.is_settled:
            directories.kill_orphans()
            await on_thread(directories.remove)

    @override
    async def leftovers(self, older_than_seconds: float) -> Sequence[Leftover]:
        """None: the next use of an environment that was not finished replaces it,
        and `tidy` removes the rest.
        """
        return ()

    @override
    async def remove_leftover(self, leftover: Leftover) -> None:
        pass

    @override
    async def close(self) -> None:
        pass

    def _make_works(self) -> None:
        """Others may write to the directory it is in, so its name may be theirs already."""
        with contextlib.suppress(FileExistsError):
            self._works.mkdir(mode=0o711)
        facts = self._works.lstat()
        own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
        if not own or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise LaunchFailedError(
                f"{self._works}, the directory in which jobs run, belongs to another user or is "
                "writable by others; the operator must remove it"
            )

    def _check_reachable(self) -> None:
        """Refuse with a reason what would end as "permission denied" in every job's log."""
        python = Path(sys.executable).resolve()
        closed = [path for path in (*python.parents, python) if not path.stat().st_mode & 0o001]
        if self._user is not None and closed:
            raise LaunchFailedError(
                f"jobs run as the user {UNPRIVILEGED_USER!r} here, who has no access to "
                f"{closed[-1]}, where the server's Python is installed; run the server as an "
                "ordinary user, or with a Python that every user can run"
            )

    def _directories(self, job_id: str) -> WorkloadDirectories:
        return WorkloadDirectories(self._states / job_id, self._works / job_id)

    def _unpack(
        self, directories: WorkloadDirectories, request: LaunchRequest, interruption: Interruption
    ) -> None:
        try:
            directories.work.mkdir(parents=True, mode=0o700)
        except FileExistsError as error:
            # Requirements take their time: meanwhile a later controller may have begun.
            if directories.epoch > request.epoch:
                raise LeaseLostError from error
            raise LaunchFailedError(
                f"the directory {directories.work} of the job already exists; remove it"
            ) from error
        unpack(request.package, directories.work, self._user, interruption, request.submitted_at)

    def _begin(
        self,
        directories: WorkloadDirectories,
        request: LaunchRequest,
        programs: Sequence[Path],
        log_base: int,
    ) -> Output:
        self._states.mkdir(exist_ok=True, mode=0o700)
        directories.state.mkdir(mode=0o700)
        variables = self._give(directories, request.secrets)
        write_json(
            directories.state / "request.json",
            {
                "command": list(request.command),
                "directory": str(directories.work),
                "env": self._env(request, directories, programs),
                "secrets": variables,
                "user": self._user,
                "tty": request.tty,
                "log_base": log_base,
                "attempt": request.attempt,
                "epoch": request.epoch,
            },
        )
        supervisor.prepare(directories.state)
        return self._spawn(directories)

    def _give(self, directories: WorkloadDirectories, secrets: Sequence[Secret]) -> list[str]:
        """Put the secrets where the command finds them; the files that are variables, too."""
        if secrets:
            directories.secrets.mkdir(mode=0o700)
        for secret in secrets:
            descriptor = os.open(directories.secrets / secret.name, _NEW_FILE, 0o400)
            with open(descriptor, "wb") as file:
                file.write(secret.value)
        if self._user is not None:
            for path in (
                *directories.secrets.glob("*"),
                *([directories.secrets] if secrets else []),
            ):
                os.chown(path, self._user, self._user)
        return [str(directories.secrets / one.name) for one in secrets if one.in_environment]

    def _env(
        self, request: LaunchRequest, directories: WorkloadDirectories, programs: Sequence[Path]
    ) -> dict[str, str]:
        inherited = ("LANG", "TZ", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        return {
            **{name: os.environ[name] for name in inherited if name in os.environ},
            "PATH": f"{':'.join(map(str, programs))}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(directories.work),
            **job_environment(request, str(directories.work), str(directories.secrets)),
        }

    def _spawn(self, directories: WorkloadDirectories) -> Output:
        # Own session: a Ctrl-C at the server's terminal is not for the job.
        process = subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, str(directories.state)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=inherited_environment(),
            start_new_session=True,
        )
        # The supervisor writes the same, in case we are killed before we can.
        who = {"pid": process.pid, "start": supervisor.start_time(process.pid)}
        write_json(directories.state / "supervisor.json", who)
        # Somebody must wait for it, or it stays as a zombie when it has ended.
        threading.Thread(target=process.wait, name="supervisor", daemon=True).start()
        return open_output(directories, 0)
