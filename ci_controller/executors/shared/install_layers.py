"""What is installed together, and when it is the same again."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ci_common.install_files import Lock

LINES = ".ci-install.txt"
"""Lines that are in no file of the project: those of `install`, or that this module found."""
DEPENDENCIES = ".ci-dependencies.txt"
BUILD = ".ci-build.txt"
PROJECT = ".ci-project.txt"

_VERSION = "2"
"""Of how a plan is carried out: another one makes other layers."""


@dataclass(frozen=True, slots=True)
class Step:
    """One installation."""

    arguments: tuple[str, ...]
    """pip's, such as `-r requirements.txt`; with a lock, those of its export."""
    lock: Lock | None = None
    """What is installed is what this says."""
    without_dependencies: bool = False
    builds_project: bool = False
    """The build backend is there already, so that the build needs nothing else."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is installed together, and is the same again as long as nothing of it changes."""

    steps: tuple[Step, ...]
    files: Mapping[str, bytes]
    """By path in the project. Of a layer that needs the project: in addition to its own."""
    needs_project: bool = False

    def key(self, package_sha256: str, *context: str) -> str:
        """Equal keys mean that one installation serves both; `context` is what else matters."""
        digest = hashlib.sha256()
        parts = [_VERSION.encode(), repr(self.steps).encode()]
        parts += [part.encode(errors="surrogateescape") for part in context]
        for name in sorted(self.files):
            parts += [name.encode(), self.files[name]]
        if self.needs_project:
            parts.append(package_sha256.encode())
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:32]


def content_of(lines: Sequence[str]) -> bytes:
    """A requirements file of these lines."""
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
