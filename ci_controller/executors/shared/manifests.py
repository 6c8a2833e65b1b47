"""The files of a project that say what it needs, read from its package within bounds."""

import posixpath
import re
from collections.abc import Iterator
from typing import Protocol

from typing_extensions import override

from ci_common.errors import SetupFailedError
from ci_controller.executors.shared.project_archive import ProjectArchive

_MOST_BYTES = 16 << 20
_MOST_FILES = 200
_PACKAGE_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


class Manifests(Protocol):
    """Files of a project, by path."""

    def read(self, name: str) -> bytes | None:
        """A file's content, `None` when there is none. Raises SetupFailedError beyond bounds."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def is_package(self, directory: str) -> bool:
        """Whether a directory has a file that says how to build it."""

    def named(self, name: str) -> Iterator[str]:
        """The paths of all files of this name, wherever they are."""

    def matching(self, pattern: re.Pattern[str]) -> Iterator[str]:
        """The paths of all files whose whole path matches."""


class ArchivedManifests(Manifests):
    """Those of a package."""

    def __init__(self, archive: ProjectArchive) -> None:
        self._archive = archive
        self._read: dict[str, bytes] = {}
        self._bytes = 0

    @override
    def read(self, name: str) -> bytes | None:
        # Each file counts once, however often it is read.
        if name in self._read:
            return self._read[name]
        size = self._archive.file_size(name)
        if size is None:
            return None
        self._bytes += size
        if self._bytes > _MOST_BYTES or len(self._read) >= _MOST_FILES:
            raise SetupFailedError(
                f"the files that say what to install are more than {_MOST_FILES} files or "
                f"{_MOST_BYTES >> 20} MiB, so nothing was installed"
            )
        content = self._archive.read_file(name)
        if content is not None:
            self._read[name] = content
        return content

    @override
    def has(self, name: str) -> bool:
        return self._archive.file_size(name) is not None

    @override
    def is_package(self, directory: str) -> bool:
        return any(self.has(in_directory(directory, name)) for name in _PACKAGE_FILES)

    @override
    def named(self, name: str) -> Iterator[str]:
        for entry in self._archive.entries():
            if posixpath.basename(entry.path) == name and not entry.is_directory:
                yield entry.path

    @override
    def matching(self, pattern: re.Pattern[str]) -> Iterator[str]:
        for entry in self._archive.entries():
            if not entry.is_directory and pattern.fullmatch(entry.path):
                yield entry.path


def in_directory(directory: str, name: str) -> str:
    """The path of a file in a directory of the project."""
    return posixpath.normpath(posixpath.join(directory, name))
