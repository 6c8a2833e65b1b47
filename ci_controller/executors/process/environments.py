"""Virtual environments with a project's requirements, shared by all jobs with the same ones."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from ci_common.errors import SetupFailedError
from ci_common.ports.launch_request import LaunchRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.packages import PackageSource
from ci_controller.executors.shared.interruption import Interruption
from ci_controller.executors.shared.project_archive import Entry, ProjectArchive, seconds_of
from ci_controller.executors.shared.requirements import FILE_NAME, Requirements, read_requirements
from ci_controller.executors.shared.single_flight import SingleFlight, Transcript

_READY = "ready"
_OWN_VARIABLE = "CI_SECRET_KEY"


class Environments:
    """Finds or builds the environment a job's `python` comes from."""

    def __init__(self, root: Path, timeout_seconds: float) -> None:
        self._root = root
        self._timeout_seconds = timeout_seconds
        self._flights: SingleFlight[None] = SingleFlight()

    async def bin_directory(self, request: LaunchRequest, log: LogAppender) -> Path:
        """The directory to put first on PATH. Raises SetupFailedError, PackageCorruptError."""
        package = request.package
        if package is None:
            return Path(sys.executable).parent
        requirements = await asyncio.to_thread(read_requirements, package)
        if requirements is None:
            return Path(sys.executable).parent
        key = requirements.key(sys.executable, sys.version, request.cache_scope)
        environment = self._root / key
        if not (environment / _READY).exists():

            async def build(transcript: Transcript) -> None:
                await self._build(environment, package, requirements, transcript)

            await self._flights.run(environment.name, build, log)
        return environment / "bin"

    async def _build(
        self,
        environment: Path,
        package: PackageSource,
        requirements: Requirements,
        transcript: Transcript,
    ) -> None:
        source = environment / "source"
        try:
            await asyncio.to_thread(_prepare, environment, source, package, requirements)
            async with asyncio.timeout(self._timeout_seconds):
                await self._install(environment, source, transcript)
            (environment / _READY).touch()
        except TimeoutError:
            raise SetupFailedError(
                f"installing {FILE_NAME} took longer than {self._timeout_seconds:g} s"
            ) from None
        finally:
            if not (environment / _READY).exists():
                shutil.rmtree(environment, ignore_errors=True)

    async def _install(self, environment: Path, source: Path, transcript: Transcript) -> None:
        process = await asyncio.create_subprocess_exec(
            environment / "bin" / "python",
            # No cache: what one tenant's requirements built would be installed for another.
            *("-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir"),
            *("-r", FILE_NAME),
            cwd=source,
            env=inherited_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.stdout and (content := await process.stdout.read(1 << 16)):
                transcript.write(content)
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code != 0:
            raise SetupFailedError


def inherited_environment() -> dict[str, str]:
    """The server's own, for programs that jobs may look into."""
    return {name: text for name, text in os.environ.items() if name != _OWN_VARIABLE}


def _prepare(
    environment: Path, source: Path, package: PackageSource, requirements: Requirements
) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    # With what this program's own environment has: it stands in for the runner image.
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", str(environment)], check=True
    )
    own = environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = next(path for path in sys.path if path.endswith("site-packages"))
    (own / "site-packages" / "runner.pth").write_text(site + "\n")
    if requirements.needs_project:
        unpack(package, source, None)
        return
    for name, content in requirements.files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def unpack(
    package: PackageSource | None,
    directory: Path,
    owner: int | None,
    interruption: Interruption | None = None,
    submitted_at: datetime | None = None,
) -> None:
    """Write a project's files, or none; `owner` is the user they are to belong to. What has no time
    of its own gets that of the submission (see ProjectArchive).

    Raises PackageCorruptError, InterruptedWorkError.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    interruption = interruption or Interruption()
    directories = [(str(directory), seconds_of(submitted_at))]
    if package is not None:
        with ProjectArchive(package.open(), submitted_at) as archive:
            directories += _write_entries(archive, directory, owner, interruption)
    for path, modified in directories:  # now that nothing is written in them any more
        os.utime(path, (modified, modified))
    if owner is not None:
        # From the innermost on, and only now: once a directory is theirs, another process of the
        # same user may put a link in it, and what lies behind that would be theirs, too.
        for path, _ in reversed(directories):
            os.chown(path, owner, owner, follow_symlinks=False)


def _write_entries(
    archive: ProjectArchive, directory: Path, owner: int | None, interruption: Interruption
) -> list[tuple[str, int]]:
    """Write all entries; returns the directories, which still belong to this program's user, and
    the times they are to have.
    """
    directories = []
    for entry in archive.entries():
        interruption.check()
        path = os.path.join(directory, entry.path)
        if entry.is_directory:
            os.mkdir(path)
            os.chmod(path, entry.mode)
            directories.append((path, entry.modified))
        elif entry.link_target is not None:
            os.symlink(entry.link_target, path)
            os.utime(path, (entry.modified, entry.modified), follow_symlinks=False)
            if owner is not None:
                os.chown(path, owner, owner, follow_symlinks=False)
        else:
            _write_file(path, entry, archive.content(entry), owner, interruption)
    return directories


def _write_file(
    path: str,
    entry: Entry,
    content: Iterable[bytes],
    owner: int | None,
    interruption: Interruption,
) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        for piece in content:
            interruption.check()
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
        if owner is not None:
            os.fchown(descriptor, owner, owner)
        os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, (entry.modified, entry.modified))
