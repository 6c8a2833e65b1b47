"""The accepted zip as the executors need it: a stream of plain entries, in constant memory."""

import posixpath
import stat
import time
from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, NamedTuple
from zipfile import BadZipFile

from ci_common.errors import PackageCorruptError
from ci_common.zip_directory import ZipEntry
from ci_common.zip_reader import ZipReader

_LINKS_FOLLOWED = 8
_DAMAGED = (BadZipFile, UnicodeDecodeError, OSError)


_EARLIEST = 315_619_200
"""The second day of 1980 in UTC, which is 1980 everywhere: zip knows no earlier time, so what packs
the project in a job (a wheel, say) would fail."""


_BEFORE_START_SECONDS = 2


class Entry(NamedTuple):
    """A directory, file or symbolic link of the project."""

    path: str
    """Relative, and without `.`, `..` and empty parts."""
    mode: int
    """Permission bits only; set-uid and its kin are dropped."""
    size: int = 0
    link_target: str | None = None
    is_directory: bool = False
    source: ZipEntry | None = None
    """Of a file."""
    modified: int = _EARLIEST
    """When it was changed, in seconds since 1970."""


class ProjectArchive:
    """An opened package. The server checked it when it was uploaded."""

    def __init__(self, file: BinaryIO, submitted_at: datetime | None = None) -> None:
        """The file is the archive's from now on. What has no time of its own, or one that is later,
        gets that of the submission, which is now when it is not given.

        Raises PackageCorruptError.
        """
        self.latest = seconds_of(submitted_at)
        """The latest time that an entry may have, in seconds since 1970."""
        try:
            self._zip = ZipReader(file)
        except _DAMAGED as error:
            raise PackageCorruptError(f"the stored upload cannot be read: {_why(error)}") from error
        self._index: _PathIndex | None = None

    def __enter__(self) -> "ProjectArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def entries(self) -> Iterator[Entry]:
        """Every entry once, each directory before what is in it, also where the zip has none.

        Remembers the directories, and no files: there is none twice in what the server accepted.
        Raises PackageCorruptError on the way.
        """
        made = {""}
        for source in self._sources():
            path = source.path
            for parent in _missing_parents(path, made):
                yield Entry(parent, 0o755, is_directory=True, modified=self.latest)
            if not source.is_directory:
                yield self._entry(source, path)
            elif path not in made:
                made.add(path)
                mode = (_mode(source) or 0o755) | 0o700
                yield Entry(path, mode, is_directory=True, modified=self._modified(source))

    def content(self, entry: Entry) -> Iterator[bytes]:
        """A file's bytes, in pieces; exactly `size` of them, or it raises PackageCorruptError."""
        if entry.source is None:
            raise ValueError(f"{entry.path} has no content")
        try:
            yield from self._zip.content(entry.source)
        except _DAMAGED as error:
            raise _corrupt(entry.path, error) from error

    def read_file(self, name: str) -> bytes | None:
        """The file at this path, also by way of links; `None` when there is none."""
        source = self._find(name)
        return None if source is None else self._read(source)

    def file_size(self, name: str) -> int | None:
        """Bytes of the file at this path, also by way of links; `None` when there is none."""
        source = self._find(name)
        return None if source is None else source.size

    def _find(self, path: str) -> ZipEntry | None:
        """Links are followed from file to file; a link to a directory on the way is not."""
        if self._index is None:
            self._index = _PathIndex(self._sources())
        for _ in range(_LINKS_FOLLOWED):
            source = self._look_up(self._index, path)
            if source is None or not stat.S_ISLNK(source.mode):
                return source
            target = self._read(source).decode(errors="replace")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        return None

    def _look_up(self, index: "_PathIndex", path: str) -> ZipEntry | None:
        for position in index.positions(path):
            if (source := self._zip.entry_at(position)).path == path:
                return source
        return None

    def _sources(self) -> Iterator[ZipEntry]:
        try:
            yield from self._zip.entries()
        except _DAMAGED as error:
            raise PackageCorruptError(f"the stored upload cannot be read: {_why(error)}") from error

    def _read(self, source: ZipEntry) -> bytes:
        try:
            return self._zip.read(source)
        except _DAMAGED as error:
            raise _corrupt(source.name, error) from error

    def _entry(self, source: ZipEntry, path: str) -> Entry:
        modified = self._modified(source)
        if stat.S_ISLNK(source.mode):
            target = self._read(source).decode()
            return Entry(path, 0o777, link_target=target, modified=modified)
        mode = (_mode(source) or 0o644) | 0o600
        return Entry(path, mode, source.size, source=source, modified=modified)

    def _modified(self, source: ZipEntry) -> int:
        # Later than the submission it was not: zips made elsewhere may have local times.
        modified = source.modified
        return self.latest if modified is None else _within(modified, self.latest)


def seconds_of(submitted_at: datetime | None) -> int:
    """The time of what came with a submission, in seconds since 1970; `None` is now.

    It is well before the start of the command, also where only whole seconds are known: what the
    command wrote is told by its time.
    """
    submitted = submitted_at.timestamp() if submitted_at else time.time()
    return max(int(submitted) - _BEFORE_START_SECONDS, _EARLIEST)


def _within(modified: int, latest: int) -> int:
    return max(min(modified, latest), _EARLIEST)


class _PathIndex:
    """Where the files of a zip are in its directory: 16 bytes for each, names of any length."""

    def __init__(self, sources: Iterator[ZipEntry]) -> None:
        self._hashes, self._positions = array("q"), array("q")
        for source in sources:
            if not source.is_directory:
                self._hashes.append(hash(source.path))
                self._positions.append(source.position)

    def positions(self, path: str) -> Iterator[int]:
        """Where this file would be; another one may have the same hash."""
        wanted = hash(path)
        for number, value in enumerate(self._hashes):
            if value == wanted:
                yield self._positions[number]


def _missing_parents(path: str, made: set[str]) -> list[str]:
    """The directories above `path` that are not yet made, outermost first; then they are."""
    missing = []
    parent = path.rpartition("/")[0]
    while parent not in made:
        made.add(parent)
        missing.append(parent)
        parent = parent.rpartition("/")[0]
    return missing[::-1]


def _mode(source: ZipEntry) -> int:
    return source.mode & 0o777


def _why(error: Exception) -> str:
    """Without the file's name: whose job it is must not learn where the server keeps it."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _corrupt(path: str, error: Exception) -> PackageCorruptError:
    return PackageCorruptError(f"{path}: {_why(error)}; submit the project again")
