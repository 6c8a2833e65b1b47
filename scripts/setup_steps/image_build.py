"""Images of ours: built from the files they copy, and rebuilt only when one of these changed.

An image carries a hash of its inputs as a label; comparing it is the whole check.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import certifi
import docker
import docker.errors
from docker.models.images import Image

from setup_steps import base_image, locks
from setup_steps.console import TAIL_LINES, SetupError, say, step
from setup_steps.paths import CONSTRAINTS, ENGINE_PACKAGE

INPUTS_LABEL = "ci-runner.inputs"
STAGE_LABEL = "ci-runner.stage"
"""Of the stages of a build, by their names; they stay without a name of an image, as a cache."""

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


@dataclass(frozen=True)
class Recipe:
    """How an image is made: the files of its build context, the Dockerfile among them, by name.

    `below` is the id of the image it is built on, where that one is ours and changes, too.
    """

    dockerfile: str
    files: Mapping[str, bytes]
    arguments: Mapping[str, str] = field(default_factory=dict)
    below: str = ""

    def digest(self) -> str:
        """A hash of all inputs; of the base image only where it is ours."""
        arguments = {f"argument {name}": value.encode() for name, value in self.arguments.items()}
        return inputs_digest({**self.files, **arguments, "below": self.below.encode()})


def ensure(
    client: docker.DockerClient,
    name: str,
    recipe: Recipe,
    *,
    base: str | None = None,
    refresh: bool = False,
) -> bool:
    """Make sure that the image is on the engine and current; say whether it was built. Without a
    `base` it is built on the one that is pulled, or made here.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    wanted = recipe.digest()
    if not refresh and is_current(client, name, wanted):
        return False
    with locks.held("runner-image"):
        if not refresh and is_current(client, name, wanted):
            return False
        build(client, name, recipe, base or base_image.ensure(client, refresh=refresh), refresh)
    return True


def is_current(client: docker.DockerClient, name: str, digest: str) -> bool:
    """Whether the image is on the engine and was built from inputs with this digest."""
    image = _find(client, name)
    return image is not None and image.labels.get(INPUTS_LABEL) == digest


def build(client: docker.DockerClient, name: str, recipe: Recipe, base: str, refresh: bool) -> None:
    """Build an image on `base`, in place of the one that has its name.

    Raises:
        SetupError: it could not be built, with the end of the build's output.
    """
    with step(f"Building {name} on {base}"):
        _build(client, name, recipe, base, refresh=refresh)


def common_files() -> dict[str, bytes]:
    """What the images of the engine copy: the pins, the certificates, the engine."""
    files = {CONSTRAINTS.name: CONSTRAINTS.read_bytes(), CA_BUNDLE_NAME: ca_bundle().read_bytes()}
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


def inputs_digest(files: Mapping[str, bytes]) -> str:
    """A hash of names and contents, in an order that no file system changes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def context_archive(files: Mapping[str, bytes]) -> io.BytesIO:
    """The build context as a tar; the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(files[name]), 0o644, _TIME
            tar.addfile(member, io.BytesIO(files[name]))
    buffer.seek(0)
    return buffer


def _find(client: docker.DockerClient, name: str) -> Image | None:
    try:
        return client.images.get(name)
    except docker.errors.ImageNotFound:
        return None


def _build(
    client: docker.DockerClient, name: str, recipe: Recipe, base: str, *, refresh: bool
) -> None:
    previous = _find(client, name)
    output = client.api.build(
        fileobj=context_archive(recipe.files),
        custom_context=True,
        dockerfile=recipe.dockerfile,
        tag=name,
        rm=True,
        forcerm=True,
        nocache=refresh,
        buildargs={"BASE": base, **recipe.arguments, **_network_arguments()},
        labels={INPUTS_LABEL: recipe.digest()},
        decode=True,
    )
    _raise_on_error(output)
    if previous:
        _remove_replaced(client, str(previous.id))
    _remove_old_stages(client)


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


def _remove_old_stages(client: docker.DockerClient) -> None:
    """Keep the newest of each stage only."""
    newest: set[str] = set()
    stages = client.images.list(filters={"label": STAGE_LABEL, "dangling": True})
    for image in sorted(stages, key=lambda image: str(image.attrs["Created"]), reverse=True):
        stage = image.labels[STAGE_LABEL]
        if stage in newest:
            _remove_replaced(client, str(image.id))
        newest.add(stage)
