"""Real executors for the contract, and a way to run one job on them to its end."""

import asyncio
import hashlib
import os
import sys
import tempfile
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from ci_common.errors import WorkloadLostError
from ci_common.job import Package, ResourceLimits, utc_now
from ci_common.ports.workloads import WorkloadState
from ci_controller.executors.docker import DockerExecutor, DockerOptions
from ci_controller.executors.docker.container import LABEL_INSTANCE
from ci_controller.executors.process import ProcessExecutor, ProcessOptions
from ci_controller.executors.shared.log_pump import pump
from ci_controller.running.launch_request import launch_request
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.packages import StoredPackage
from support.archives import zip_bytes
from support.engine_option import runner_image, runtime
from support.fake_executor import FakeExecutor
from support.jobs import a_job
from support.memory_log import MemoryLog
from support.waiting import until

IMAGE = runner_image()


@dataclass
class Finished:
    """What became of a job."""

    output: bytes
    setup: bytes
    workload: object


class Bench:
    """One executor of an instance of its own, and packages for it."""

    def __init__(self, path, kind):
        self.kind = kind
        self.instance = uuid.uuid4().hex
        self.prefix = f"test-{self.instance[:8]}-"
        self.path = path
        self.jobs = []
        self.executor = self.new_executor()

    def new_executor(self, **options):
        """Another executor of the same instance: the one after a restart."""
        if self.kind == "fake":
            return FakeExecutor(utc_now)
        if self.kind == "process":
            executor = ProcessExecutor(ProcessOptions(self.instance, self.path / "data", **options))
            if not self.changes_user:
                executor._user = None
            return executor
        options.setdefault("runtime", runtime())
        return DockerExecutor(
            DockerOptions(self.instance, IMAGE, self.path / "deps", self.prefix, **options)
        )

    async def set_up_anew(self, **options):
        """Go on with an executor of these options."""
        await self.executor.close()
        self.executor = self.new_executor(**options)

    @property
    def works(self):
        """Where the process executor has its working directories."""
        return Path(tempfile.gettempdir()) / f"ci-runner-{self.instance}"

    @property
    def changes_user(self):
        """Whether commands run as another user than the tests."""
        if self.kind == "docker":
            return True
        python = Path(sys.executable).resolve()
        return os.geteuid() == 0 and all(
            path.stat().st_mode & 0o001 for path in (python, *python.parents)
        )

    def plays(self, output=b"", code=0, file=None):
        """A command that every kind understands: it may leave a file with the content `x`."""
        if self.kind == "fake":
            left = [f"file:{file}=x"] if file else []
            return (f"out:{output.decode()}", *left, f"exit:{code}")
        left = f"open({file!r}, 'w').write('x'); " if file else ""
        source = f"import os, sys; {left}os.write(1, {output!r}); sys.exit({code})"
        return ("python", "-c", source)

    def waits(self):
        """A command that every kind understands, which does not end."""
        return ("out:",) if self.kind == "fake" else ("python", "-c", WAIT_FOR_EVER)

    def job(self, *command, files=None, package=None, **options):
        """A job and its package; the command is Python source unless it has several words."""
        command = ("python", "-c", *command) if len(command) == 1 else command
        options.setdefault("limits", ResourceLimits(timeout_seconds=60))
        options.setdefault("created_at", datetime.now(UTC))
        job = a_job(command=command, **options)
        content = package or zip_bytes(files or {"file.txt": b"content\n"})
        self.package_path(job).write_bytes(content)
        self.jobs.append(job.job_id)
        return replace(job, package=Package(hashlib.sha256(content).hexdigest(), len(content)))

    def package_path(self, job):
        return self.path / f"{job.job_id}.zip"

    def request(self, job, epoch=1, secrets=()):
        """What a controller asks an executor for this job."""
        facts = job.package
        package = StoredPackage(facts.sha256, facts.size, self.package_path(job), no_check)
        return launch_request(job, epoch, secrets, package)

    async def launch(self, job, log=None, epoch=1, secrets=()):
        return await self.executor.launch(self.request(job, epoch, secrets), log or MemoryLog())

    async def run(self, *command, **options):
        """Launch a job, read its output to the end, and see how it ended."""
        log, content = MemoryLog(), bytearray()
        job = self.job(*command, **options)
        output = await self.launch(job, log)
        await pump(output, content.extend)
        workload = await self.ended(job.job_id)
        await self.executor.remove(job.job_id)
        return Finished(bytes(content), bytes(log.content), workload)

    async def ended(self, job_id):
        return await until(
            lambda: self.executor.inspect(job_id),
            lambda seen: seen is not None and seen.state is WorkloadState.EXITED,
            "the workload's end",
        )

    async def close(self):
        """Remove what the tests left; tell what the executor was to have removed."""
        for job_id in self.jobs:
            await self.executor.remove(job_id)
        await self.executor.close()

    def leftovers(self):
        """Everything of this instance that is still there."""
        if self.kind == "fake":
            return [*self.executor.workloads]
        if self.kind == "process":
            found = [*(self.path / "data" / "workloads").iterdir()]
            found += [path for path in self.works.glob("*") if path.name != "environments"]
            return [path.name for path in found]
        client = docker.from_env(version="auto")
        try:
            found = client.containers.list(ignore_removed=True, **self._ours())
            return [container.name for container in found]
        finally:
            client.close()

    def _ours(self):
        return {"all": True, "filters": {"label": f"{LABEL_INSTANCE}={self.instance}"}}


def remove_of_instance(instance):
    """Remove the containers and images of a test's own instance from the engine."""
    client = docker.from_env(version="auto")
    ours = {"label": f"{LABEL_INSTANCE}={instance}"}
    try:
        for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
            try:
                container.remove(force=True, v=True)
            except (NotFound, APIError):
                continue
        for image in client.images.list(filters=ours):
            client.images.remove(image.id, force=True)
    finally:
        client.close()


class StoredContent:
    """What was read of an output, from `skip` on; it counts as stored (see log_pump.Storage)."""

    def __init__(self, skip=0):
        self.content = bytearray()
        self._start = skip

    @property
    def skip(self):
        return self._start + len(self.content)

    def append(self, content):
        self.content += content

    def sync(self):
        pass


async def read_some(output, size):
    """Read until there are so many bytes, or the output ends."""
    content = bytearray()
    while len(content) < size and (piece := await asyncio.to_thread(output.read)):
        content += piece
    return bytes(content)


async def collect_storing(output, skip=0):
    """Read an output that begins at `skip` to its end, and tell it what was read, for good."""
    storage = StoredContent(skip)
    await pump(output, storage.append, storage)
    return bytes(storage.content)


async def read_line(output):
    """Read until a line is whole."""
    content = b""
    while not content.endswith(b"\n") and (piece := await asyncio.to_thread(output.read)):
        content += piece
    return content


async def drain(output):
    """Read what is left of an output whose workload was removed: executors differ in its end."""
    with suppress(WorkloadLostError):
        await collect(output)


async def collect(output):
    """Read an output to its end."""
    content = bytearray()
    await pump(output, content.extend)
    return bytes(content)


WAIT_FOR_EVER = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)"


@asynccontextmanager
async def running(bench, source=WAIT_FOR_EVER, epoch=1):
    """A job whose command has begun, and its output until then was `ready`."""
    job = bench.job(source)
    output = await bench.launch(job, epoch=epoch)
    try:
        assert await read_line(output) == b"ready\n"
        yield job, output
    finally:
        await bench.executor.remove(job.job_id)
        await drain(output)
