"""What the runner image is built on: `python:3.12-slim`, or Debian made here with debootstrap."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from setup_steps import apt, debian_mirror
from setup_steps.console import SetupError, run_quietly, say, step

PYTHON_IMAGE = "python:3.12-slim"
DEBIAN_REPOSITORY = "ci-runner-base"
PULL_SECONDS = 600.0
PACKAGES = "python3,python3-venv,ca-certificates"
UNNEEDED = (
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
)


def ensure(client: docker.DockerClient, *, refresh: bool = False) -> str:
    """The name of a base image that is on the engine; made or pulled when it is not.

    Raises:
        SetupError: it can neither be pulled nor made here.
    """
    debian = f"{DEBIAN_REPOSITORY}:{debian_mirror.suite()}"
    if not refresh:
        for name in (PYTHON_IMAGE, debian):
            if _is_there(client, name):
                return name
    if _pull(client):
        return PYTHON_IMAGE
    _make_debian(client, debian)
    return debian


def _is_there(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def _pull(client: docker.DockerClient) -> bool:
    """Whether the image could be pulled, in a bounded time."""
    say(f"==> Pulling {PYTHON_IMAGE}")
    deadline = time.monotonic() + PULL_SECONDS
    try:
        for progress in client.api.pull(PYTHON_IMAGE, stream=True, decode=True):
            if "error" in progress or time.monotonic() > deadline:
                break
        else:
            return _is_there(client, PYTHON_IMAGE)
    except (docker.errors.APIError, requests.exceptions.RequestException):
        pass
    say("    it cannot be pulled here")
    return False


def _make_debian(client: docker.DockerClient, name: str) -> None:
    suite = debian_mirror.suite()
    _ensure_debootstrap()
    scratch = tempfile.TemporaryDirectory(prefix="ci-runner-base-", dir="/var/tmp")
    with step(f"Making {name} with debootstrap (about a minute)"), scratch as directory:
        root = Path(directory) / "root"
        _debootstrap(suite, root)
        _shrink(root)
        _import(client, root, name)


def _ensure_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    if not apt.is_usable():
        raise SetupError(
            f"There is no base for the runner image: {PYTHON_IMAGE} is not on the engine and "
            "cannot be pulled, and making one from Debian needs root on Debian or Ubuntu.\n"
            f"Load the image (`docker load`), or point CI_IMAGE at an image of your own."
        )
    apt.install("debootstrap", "debian-archive-keyring")


def _debootstrap(suite: str, root: Path) -> None:
    mirror = debian_mirror.mirror(suite)
    run_quietly(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root), mirror],
        failure=f"debootstrap could not make a Debian {suite} system from {mirror}.",
    )


def _shrink(root: Path) -> None:
    """Drop what no job needs: package lists, manuals, translations."""
    for name in UNNEEDED:
        for entry in (root / name).glob("*"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _import(client: docker.DockerClient, root: Path, name: str) -> None:
    repository, _, tag = name.partition(":")
    with _tar_of(root) as tar:
        client.api.import_image_from_stream(
            tar, repository=repository, tag=tag, changes=['CMD ["/bin/bash"]']
        )


@contextmanager
def _tar_of(root: Path) -> Iterator[object]:
    """A stream of the tree as a tar, never held in memory or on disk."""
    argv = ["tar", "-C", str(root), "--one-file-system", "--numeric-owner", "-c", "."]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        yield process.stdout
    if process.returncode != 0:
        raise SetupError(f"tar could not read {root}: it ended with {process.returncode}.")
