"""The image jobs run in: built from `docker/`, rebuilt only when an input changed.

The image carries a hash of its inputs as a label; comparing it is the whole check.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import certifi
import docker
import docker.errors
from docker.models.images import Image

from setup_steps import base_image, locks
from setup_steps.console import TAIL_LINES, SetupError, say, step
from setup_steps.paths import CONSTRAINTS, DOCKER_DIR, ENGINE_PACKAGE

DEFAULT_NAME = "ci-runner:latest"
SLIM_NAME = "ci-runner:slim"
INPUTS_LABEL = "ci-runner.inputs"
CA_BUNDLE_NAME = "ca-certificates.crt"
_TIME = 315_619_200
"""Of all files, so that they are the same each time: the second day of 1980. zip, and so a wheel or
a zipapp made in a job, knows no earlier year.
"""

SYSTEM_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def ensure(
    client: docker.DockerClient,
    name: str = DEFAULT_NAME,
    *,
    slim: bool = False,
    refresh: bool = False,
) -> bool:
    """Make sure that the image is on the engine and current; say whether it was built. A `slim` one
    has neither git nor a compiler.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    variant = "slim" if slim else "full"
    files = context_files()
    wanted = inputs_digest(files | {"variant": variant.encode()})
    if not refresh and is_current(client, name, wanted):
        return False
    with locks.held("runner-image"):
        if not refresh and is_current(client, name, wanted):
            return False
        base = base_image.ensure(client, refresh=refresh)
        build(client, name, files, {"BASE": base, "VARIANT": variant}, wanted, refresh=refresh)
    return True


def is_current(client: docker.DockerClient, name: str, digest: str) -> bool:
    """Whether the image is on the engine and was built from inputs with this digest."""
    return _label(client, name) == digest


def build(
    client: docker.DockerClient,
    name: str,
    files: dict[str, bytes],
    arguments: dict[str, str],
    digest: str,
    *,
    refresh: bool,
) -> None:
    """Build an image on `arguments["BASE"]`, in place of the one that has its name.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    with step(f"Building {name} on {arguments['BASE']}"):
        _build(client, name, files, arguments, digest, refresh=refresh)


def context_files() -> dict[str, bytes]:
    """Everything the build reads, by its name in the build context."""
    files = {p.name: p.read_bytes() for p in DOCKER_DIR.iterdir() if p.is_file()}
    files[CONSTRAINTS.name] = CONSTRAINTS.read_bytes()
    files[CA_BUNDLE_NAME] = ca_bundle().read_bytes()
    return files | package_files(ENGINE_PACKAGE)


def package_files(package: Path) -> dict[str, bytes]:
    """The files of a Python package by their paths from its parent, without compiled ones."""
    return {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def ca_bundle() -> Path:
    """The certificates this machine trusts, a company's own among them."""
    for name in (os.environ.get("SSL_CERT_FILE"), *SYSTEM_CA_BUNDLES):
        if name and Path(name).is_file():
            return Path(name)
    return Path(certifi.where())


def inputs_digest(files: dict[str, bytes]) -> str:
    """A hash of names and contents, in an order that no file system changes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def context_archive(files: dict[str, bytes]) -> io.BytesIO:
    """The build context as a tar; the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(files[name]), 0o644, _TIME
            tar.addfile(member, io.BytesIO(files[name]))
    buffer.seek(0)
    return buffer


def _label(client: docker.DockerClient, name: str) -> str | None:
    image = _find(client, name)
    return image.labels.get(INPUTS_LABEL) if image else None


def _find(client: docker.DockerClient, name: str) -> Image | None:
    try:
        return client.images.get(name)
    except docker.errors.ImageNotFound:
        return None


def _build(
    client: docker.DockerClient,
    name: str,
    files: dict[str, bytes],
    arguments: dict[str, str],
    digest: str,
    *,
    refresh: bool,
) -> None:
    previous = _find(client, name)
    output = client.api.build(
        fileobj=context_archive(files),
        custom_context=True,
        tag=name,
        rm=True,
        forcerm=True,
        nocache=refresh,
        buildargs={**arguments, **_network_arguments()},
        labels={INPUTS_LABEL: digest},
        decode=True,
    )
    _raise_on_error(output)
    if previous:
        _remove_replaced(client, str(previous.id))


def _raise_on_error(output: Iterator[dict[str, str]]) -> None:
    lines: list[str] = []
    for event in output:
        lines += event.get("stream", "").splitlines()
        if "error" in event:
            tail = "\n".join(lines[-TAIL_LINES:])
            raise SetupError(f"The image could not be built: {event['error']}\n{tail}")


def _network_arguments() -> dict[str, str]:
    """Proxies, and an index of Python packages other than the public one, where there are such.

    Docker keeps the proxy arguments out of the image's history by itself.
    """
    names = ("http_proxy", "https_proxy", "no_proxy")
    both_cases = [*names, *(name.upper() for name in names)]
    arguments = {name: os.environ[name] for name in both_cases if os.environ.get(name)}
    if index := os.environ.get("PIP_INDEX_URL") or _configured_index():
        arguments["PIP_INDEX_URL"] = index
    return arguments


def _configured_index() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _remove_replaced(client: docker.DockerClient, previous_id: str) -> None:
    """Remove the image that lost its name to the new one, unless something still uses it."""
    previous = _find(client, previous_id)
    if previous is None or previous.tags:
        return
    try:
        client.images.remove(previous_id)
    except docker.errors.APIError:
        say(f"    the replaced image {previous_id[7:19]} is still in use and stays")
