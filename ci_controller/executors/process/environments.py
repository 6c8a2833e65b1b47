"""Virtual environments with a project's requirements, shared by all jobs with the same ones."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from ci_common.completion import to_completion
from ci_common.errors import SetupFailedError
from ci_common.launch_step import LaunchStage
from ci_common.ports.launch_request import LaunchRequest
from ci_common.ports.logs import LogAppender
from ci_common.ports.packages import PackageSource
from ci_common.ports.workloads import OnStage, untold
from ci_common.secret import SECRETS_DIRECTORY_VARIABLE
from ci_controller.executors.shared.install_layers import Layer, Step
from ci_controller.executors.shared.install_plan import InstallPlan, failure, install_plan
from ci_controller.executors.shared.interruption import Interruption
from ci_controller.executors.shared.project_archive import Entry, ProjectArchive, seconds_of
from ci_controller.executors.shared.setup_environment import (
    NO_VERSION,
    VERSION_VARIABLES,
    environment_key,
    setup_environment,
)
from ci_controller.executors.shared.single_flight import SingleFlight, Transcript

_READY = "ready"
_SECRETS = "secrets"
_OWN_VARIABLE = "CI_SECRET_KEY"
_ONCE_MORE = b"ci: building it once more, isolated, with what its build backend asks for\n"


class Environments:
    """Finds or builds the environment a job's `python` comes from."""

    def __init__(
        self, root: Path, timeout_seconds: float, env: Mapping[str, str] | None = None
    ) -> None:
        self._root = root
        self._timeout_seconds = timeout_seconds
        self._env = env or {}
        self._flights: SingleFlight[None] = SingleFlight()
        self._places: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def bin_directories(
        self, request: LaunchRequest, log: LogAppender, on_stage: OnStage = untold
    ) -> list[Path]:
        """The directories to put first on PATH. Raises SetupFailedError, PackageCorruptError."""
        found = [Path(sys.executable).parent]
        package = request.package
        if package is None:
            return found
        plan = await asyncio.to_thread(
            partial(install_plan, package, request.install, with_locks=False)
        )
        if plan.line is not None:
            log.append(f"{plan.line}\n".encode(errors="replace"))
        key = f"{sys.executable} {sys.version}"
        below: list[Path] = []
        for layer in plan.layers:
            variables = setup_environment(self._env, request, of_project=layer.needs_project)
            key = layer.key(
                package.sha256, key, request.cache_scope, environment_key(variables, request)
            )
            build = _Build(self._root / key, tuple(below), package, plan, layer, variables, request)
            if not (build.environment / _READY).exists():
                on_stage(LaunchStage.INSTALLING)
                await self._flights.run(key, partial(self._build, build), log)
            below.insert(0, build.environment)
        return [environment / "bin" for environment in below] or found

    async def _build(self, build: "_Build", transcript: Transcript) -> None:
        # A cancelled build may still be removing its files here.
        place = self._places.setdefault(build.environment, asyncio.Lock())
        async with place:
            await self._build_alone(build, transcript)

    async def _build_alone(self, build: "_Build", transcript: Transcript) -> None:
        environment, interruption = build.environment, Interruption()
        try:
            preparing = asyncio.to_thread(_prepare, build, interruption)
            await to_completion(preparing, interrupt=interruption.ask)
            async with asyncio.timeout(self._timeout_seconds):
                for step in build.layer.steps:
                    await self._install(build, step, transcript)
            (environment / _READY).touch()
        except TimeoutError:
            raise SetupFailedError(
                f"installing {build.plan.what} took longer than {self._timeout_seconds:g} s"
            ) from None
        finally:
            shutil.rmtree(environment / _SECRETS, ignore_errors=True)
            if not (environment / _READY).exists():
                shutil.rmtree(environment, ignore_errors=True)

    async def _install(self, build: "_Build", step: Step, transcript: Transcript) -> None:
        arguments = ["--no-deps"] if step.without_dependencies else []
        arguments += step.arguments
        code = 1
        if step.builds_project:
            code = await _pip(build, ["--no-build-isolation", *arguments], transcript)
            if code != 0:
                transcript.write(_ONCE_MORE)
        if code != 0:
            code = await _pip(build, arguments, transcript)
        if code != 0:
            raise SetupFailedError(failure(build.plan, code))


@dataclass(frozen=True, slots=True)
class _Build:
    """The installation of a layer in an environment of its own."""

    environment: Path
    below: tuple[Path, ...]
    """The environments of the layers before, the nearest first."""
    package: PackageSource
    plan: InstallPlan
    layer: Layer
    variables: Mapping[str, str]
    request: LaunchRequest

    @property
    def source(self) -> Path:
        """The directory that pip is started in."""
        return self.environment / "source"

    @property
    def env(self) -> dict[str, str]:
        """The variables of pip."""
        versions = dict.fromkeys(VERSION_VARIABLES, NO_VERSION) if self._lacks_git else {}
        secrets = {SECRETS_DIRECTORY_VARIABLE: str(self.environment / _SECRETS)}
        return {
            **inherited_environment(),
            **versions,
            **(secrets if self.request.secrets else {}),
            **self.variables,
        }

    @property
    def _lacks_git(self) -> bool:
        known = (self.source / name for name in (".git", "PKG-INFO"))
        return self.layer.needs_project and not any(path.exists() for path in known)


async def _pip(build: _Build, arguments: list[str], transcript: Transcript) -> int:
    """Run `pip install`; the exit code."""
    process = await asyncio.create_subprocess_exec(
        build.environment / "bin" / "python",
        # No cache: what one tenant's requirements built would be installed for another.
        *("-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir"),
        *arguments,
        cwd=build.source,
        env=build.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        while process.stdout and (content := await process.stdout.read(1 << 16)):
            transcript.write(content)
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def inherited_environment() -> dict[str, str]:
    """The server's own, for programs that jobs may look into."""
    return {name: text for name, text in os.environ.items() if name != _OWN_VARIABLE}


def _prepare(build: _Build, interruption: Interruption) -> None:
    environment, source = build.environment, build.source
    shutil.rmtree(environment, ignore_errors=True)
    # With what this program's own environment has: it stands in for the runner image.
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", str(environment)], check=True
    )
    own = next(path for path in sys.path if path.endswith("site-packages"))
    below = [str(_site_packages(path)) for path in build.below]
    lines = "".join(f"{path}\n" for path in [*below, own])
    (_site_packages(environment) / "runner.pth").write_text(lines)
    if build.layer.needs_project:
        unpack(build.package, source, None, interruption)
        source.chmod(0o755)  # what is installed editable is used from there
    for name, content in build.layer.files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if build.request.secrets:
        (environment / _SECRETS).mkdir(mode=0o700)
        for secret in build.request.secrets:
            (environment / _SECRETS / secret.name).write_bytes(secret.value)


def _site_packages(environment: Path) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return environment / "lib" / version / "site-packages"


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
