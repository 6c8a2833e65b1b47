"""Files of an ended process workload (port WorkloadFiles), from a directory that may be hostile.

The server may be root, and what the command left running may still change the directory. So
each name is opened relative to an opened directory and never followed when it is a link, and
only files that belong to the command's own user count: a hard link to another's does not.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from typing_extensions import override

from ci_common.errors import EngineUnavailableError, FilesUnreadableError
from ci_common.ports.workloads import WorkloadFile, WorkloadFiles
from ci_controller.executors.shared.file_times import moment_of

_CHUNK_BYTES = 1 << 18
_MAX_PATH_BYTES = 4096
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: what was a file a moment ago may be a pipe.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DirectoryFiles(WorkloadFiles):
    """The regular files at or below `path` of the directory `work`."""

    def __init__(self, work: Path, path: str) -> None:
        self._work = work
        self._path = "" if path == "." else path
        self._owner = work.lstat().st_uid
        self._seen: set[tuple[int, int]] = set()
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path."""
        above, _, name = self._path.rpartition("/")
        try:
            with self._directory(above) as descriptor:
                os.stat(name or ".", dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    @override
    def __iter__(self) -> Iterator[WorkloadFile]:
        # Of each directory on the way down what is left of it: a million names, but no paths.
        levels = [iter([self._path])]
        while levels:
            if self._closed:
                raise EngineUnavailableError("the files were closed while they were read")
            path = next(levels[-1], None)
            if path is None:
                levels.pop()
                continue
            names = self._names(path)
            if names is not None:
                levels.append(_below(path, names))
                continue
            with self._file(path) as file:
                if file is not None:
                    yield self._as_file(path, file)

    @override
    def close(self) -> None:
        self._closed = True

    def _names(self, path: str) -> list[str] | None:
        """What is in the directory, or `None` when this is none to be entered."""
        if len(os.fsencode(path)) > _MAX_PATH_BYTES:
            return None
        try:
            with self._directory(path) as descriptor:
                return sorted(os.listdir(descriptor))
        except OSError:
            return None

    @contextlib.contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        """The directory, opened name by name: only so is no link followed on the way."""
        descriptor = os.open(self._work, _DIRECTORY)
        try:
            for name in path.split("/") if path else ():
                below = os.open(name, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _file(self, path: str) -> Iterator[FileIO | None]:
        """The file, opened, or `None` when it is none that counts."""
        above, _, name = path.rpartition("/")
        try:
            with self._directory(above) as directory:
                descriptor = os.open(name, _FILE, dir_fd=directory)
        except OSError:
            yield None
            return
        if not self._counts(os.fstat(descriptor)):
            os.close(descriptor)
            yield None
            return
        with FileIO(descriptor) as file:
            yield file

    def _counts(self, facts: os.stat_result) -> bool:
        identity = (facts.st_dev, facts.st_ino)
        first = identity not in self._seen
        if facts.st_nlink > 1:
            self._seen.add(identity)
        return stat.S_ISREG(facts.st_mode) and facts.st_uid == self._owner and first

    def _as_file(self, path: str, file: FileIO) -> WorkloadFile:
        facts = os.fstat(file.fileno())
        modified = moment_of(facts.st_mtime)
        return WorkloadFile(path, facts.st_size, modified, self._content(file, facts.st_size))

    def _content(self, file: FileIO, left: int) -> Iterator[bytes]:
        while left > 0:
            if self._closed:
                raise EngineUnavailableError("the files were closed while they were read")
            try:
                piece = file.read(min(left, _CHUNK_BYTES))
            except OSError as error:
                raise FilesUnreadableError(f"a file cannot be read: {error.strerror}") from error
            if not piece:
                return
            left -= len(piece)
            yield piece


def _below(path: str, names: list[str]) -> Iterator[str]:
    for name in names:
        yield f"{path}/{name}" if path else name
