"""Engines other than the machine's own, each owned by one test run: gVisor, Podman, and
dockerd on file systems that can bound the size of a container.

They are found by the tests through environment variables that a person may set as well:
`DOCKER_HOST`, `CI_DOCKER_RUNTIME` and `CI_IMAGE`. Each engine lives in a network namespace of its
own (see own_dockerd.py), where its bridge leads nowhere, so it cannot harm the machine's.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import requests

from support.own_dockerd import ISOLATED, OwnDockerd, is_isolated
from support.waiting import until_sync

OWN = "docker"
"""The engine that the machine has, as it is."""

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_DISK_BYTES = 20 << 30
"""Sparse. Btrfs frees the space of containers long after they were removed."""

_RUNSC = ("--platform=ptrace", "--network=none")
"""The platform that needs nothing of the machine. runsc of 2022 cannot make its network on newer
kernels, so containers have none.
"""

_PODMAN_CONFIG = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]  # the default may be above the limit
[engine]
lock_type = "file"
tmp_dir = "{place}/tmp"
[network]
network_config_dir = "{place}/networks"
"""

_PODMAN_STORAGE = """
[storage]
driver = "overlay"
runroot = "{place}/run"
graphroot = "{place}/data"
"""


class EngineMissingError(Exception):
    """There can be no such engine here; the message says what it takes."""


@dataclass(frozen=True)
class Engine:
    """Where an engine answers, and the runtime that containers get there."""

    docker_host: str
    runtime: str | None = None

    @property
    def environment(self):
        """What a test run, or a server, needs to use it."""
        found = {"DOCKER_HOST": self.docker_host}
        return found if self.runtime is None else {**found, "CI_DOCKER_RUNTIME": self.runtime}


@contextmanager
def own_engine(name, image):
    """Start an engine by its name in `ENGINES` or `VARIANTS`, with this image of the machine's
    engine, and end it with whatever is on it. Raises EngineMissingError.
    """
    with ExitStack() as stack:
        # Not below pytest's directories: the path of a socket may have 107 characters.
        place = Path(tempfile.mkdtemp(prefix="ci-engine-"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        _check_machine()
        engine = stack.enter_context({**ENGINES, **VARIANTS}[name](place))
        _copy_image(image, engine.docker_host)
        yield engine


@contextmanager
def _gvisor(place):
    runsc = _program("runsc", "runsc")
    config = {"runtimes": {"runsc": {"path": runsc, "runtimeArgs": list(_RUNSC)}}}
    with _dockerd(place, config) as docker_host:
        yield Engine(docker_host, "runsc")


@contextmanager
def _docker_on_xfs(place):
    with _disk(place, "xfs", "xfsprogs", "loop,pquota") as disk, _dockerd(disk) as docker_host:
        yield Engine(docker_host)


@contextmanager
def _docker_on_xfs_without_quotas(place):
    with _disk(place, "xfs", "xfsprogs", "loop") as disk, _dockerd(disk) as docker_host:
        yield Engine(docker_host)


@contextmanager
def _docker_on_btrfs(place):
    config = {"storage-driver": "btrfs"}
    with (
        _disk(place, "btrfs", "btrfs-progs", "loop") as disk,
        _dockerd(disk, config) as docker_host,
    ):
        yield Engine(docker_host)


@contextmanager
def _disk(place, kind, package, options):
    """A new file system in a file, mounted."""
    make = _program(f"mkfs.{kind}", package)
    disk, image = place / "disk", place / "disk.img"
    disk.mkdir()
    with image.open("wb") as content:
        content.truncate(_DISK_BYTES)
    subprocess.run([make, "-q", image], check=True, stdout=subprocess.DEVNULL)
    mounting = ["mount", "-t", kind, "-o", options, image, disk]
    mounted = subprocess.run(mounting, check=False, capture_output=True, text=True)
    if mounted.returncode:
        raise EngineMissingError(
            f"this machine cannot mount {kind} with the options {options} (a kernel without "
            "quotas, or no loop devices)"
        )
    try:
        yield disk
    finally:
        # The daemon has ended; the kernel may take a moment to let go of its mounts.
        unmount = ["umount", disk]  # frees the loop device, too
        until_sync(
            lambda: subprocess.run(unmount, check=False, capture_output=True).returncode == 0,
            what=f"the end of the mount {disk}",
        )


@contextmanager
def _dockerd(place, config=None):
    _program("dockerd", "docker.io")
    daemon = OwnDockerd(place / "dockerd", config, bridge=True)
    try:
        daemon.start()
        yield daemon.docker_host
    finally:
        daemon.close()
        _end_processes_of(place)


@contextmanager
def _podman(place):
    podman, runc = _program("podman", "podman"), _program("runc", "runc")
    _program("catatonit", "catatonit")
    for name, content in {"containers": _PODMAN_CONFIG, "storage": _PODMAN_STORAGE}.items():
        (place / f"{name}.conf").write_text(content.format(place=place))
    docker_host = f"unix://{place}/podman.sock"
    log_path = place / "podman.log"
    options = ["--runtime", runc, "--cgroup-manager", "cgroupfs"]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*ISOLATED, podman, *options, "system", "service", "--time=0", docker_host],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=place,  # conmon leaves a file there when a container has run out of memory
            env={
                **os.environ,
                "CONTAINERS_CONF": str(place / "containers.conf"),
                "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
            },
        )
    try:
        started = f"podman's start; its log is {log_path}"
        until_sync(lambda: _answers(docker_host), what=started, seconds=_START_SECONDS)
        yield Engine(docker_host)
        _remove_containers(docker_host)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end_processes_of(place)
        _unmount_below(place)


ENGINES = {
    "gvisor": _gvisor,
    "podman": _podman,
    "docker-xfs": _docker_on_xfs,
    "docker-btrfs": _docker_on_btrfs,
}
"""By the names that `--engine` takes, besides OWN."""

VARIANTS = {"docker-xfs-without-quotas": _docker_on_xfs_without_quotas}
"""For single tests: nothing but what these look at is different there."""


def _check_machine():
    if os.geteuid() != 0:
        raise EngineMissingError("to start an engine takes root")
    if not is_isolated():
        raise EngineMissingError("this machine gives out no network namespaces")


def _program(name, package):
    found = shutil.which(name)
    if found is None:
        raise EngineMissingError(
            f"{name} is not installed (Debian package {package}; scripts/engines installs it)"
        )
    return found


@contextmanager
def _client(docker_host=None):
    base_url = docker_host or os.environ.get("DOCKER_HOST")
    client = docker.APIClient(base_url=base_url, version="auto", timeout=120)
    try:
        yield client
    finally:
        client.close()


def _copy_image(image, docker_host):
    """From the machine's engine, without a file between."""
    with _client() as source, _client(docker_host) as target:
        for told in target.load_image(source.get_image(image)):
            assert "error" not in told, told


def _answers(docker_host):
    if not Path(docker_host.removeprefix("unix://")).exists():
        return False  # docker-py leaks its connection when there is no answer
    with _client(docker_host) as client:
        return client.ping()


def _remove_containers(docker_host):
    gone = suppress(docker.errors.DockerException, requests.RequestException)
    with gone, _client(docker_host) as client:
        for entry in client.containers(all=True):
            with suppress(docker.errors.APIError):
                client.remove_container(entry["Id"], force=True, v=True)


def _end_processes_of(place):
    """What names this directory, which no other process knows: gVisor leaves some of a container
    that could not be started, Podman of a command that was run in one.
    """
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"{place}/".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


def _unmount_below(place):
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)
