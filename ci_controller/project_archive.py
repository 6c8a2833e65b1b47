"""The accepted zip as the executors need it: a stream of plain entries."""

import posixpath
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ci_common.errors import PackageCorruptError

_CHUNK_BYTES = 1 << 18
_LINKS_FOLLOWED = 8
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory, file or symbolic link of the project."""

    path: PurePosixPath
    mode: int
    """Permission bits only; set-uid and its kin are dropped."""
    size: int = 0
    link_target: str | None = None
    is_directory: bool = False
    source: zipfile.ZipInfo | None = None


class ProjectArchive:
    """An opened package. The server checked it when it was uploaded."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise PackageCorruptError(f"the stored upload cannot be read: {_why(error)}") from error
        # By path: some programs write `./requirements.txt`.
        self._entries = {PurePosixPath(info.filename): info for info in self._zip.infolist()}

    def __enter__(self) -> "ProjectArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def entries(self) -> Iterator[Entry]:
        """Every entry once, each directory before what is in it, also where the zip has none."""
        made: set[PurePosixPath] = {PurePosixPath(".")}
        for info in self._zip.infolist():
            path = PurePosixPath(info.filename)
            missing = []
            parent = path.parent
            while parent not in made:
                made.add(parent)
                missing.append(parent)
                parent = parent.parent
            for parent in reversed(missing):
                yield Entry(parent, 0o755, is_directory=True)
            if path in made:
                continue
            made.add(path)
            yield self._entry(info, path)

    def content(self, entry: Entry) -> Iterator[bytes]:
        """A file's bytes, in pieces. Raises PackageCorruptError on the way."""
        if entry.source is None:
            raise ValueError(f"{entry.path} has no content")
        try:
            with self._zip.open(entry.source) as source:
                while piece := source.read(_CHUNK_BYTES):
                    yield piece
        except _DAMAGED as error:
            raise _corrupt(entry.path, error) from error

    def read_file(self, name: str) -> bytes | None:
        """The file at this path, also by way of links; `None` when there is none."""
        entry = self._find(PurePosixPath(name))
        return None if entry is None else self._read(entry)

    def file_size(self, name: str) -> int | None:
        """Bytes of the file at this path, also by way of links; `None` when there is none."""
        entry = self._find(PurePosixPath(name))
        return None if entry is None else entry.file_size

    def _find(self, path: PurePosixPath) -> zipfile.ZipInfo | None:
        """Links are followed from file to file; a link to a directory on the way is not."""
        for _ in range(_LINKS_FOLLOWED):
            entry = self._entries.get(path)
            if entry is None or entry.is_dir():
                return None
            if not stat.S_ISLNK(entry.external_attr >> 16):
                return entry
            target = self._read(entry).decode(errors="replace")
            path = PurePosixPath(posixpath.normpath(path.parent / target))
        return None

    def _read(self, entry: zipfile.ZipInfo) -> bytes:
        try:
            return self._zip.read(entry)
        except _DAMAGED as error:
            raise _corrupt(entry.filename, error) from error

    def _entry(self, info: zipfile.ZipInfo, path: PurePosixPath) -> Entry:
        unix_mode = info.external_attr >> 16
        mode = unix_mode & 0o777
        if info.is_dir():
            return Entry(path, (mode or 0o755) | 0o700, is_directory=True)
        if stat.S_ISLNK(unix_mode):
            return Entry(path, 0o777, link_target=self._read(info).decode())
        return Entry(path, (mode or 0o644) | 0o600, size=info.file_size, source=info)


def _why(error: Exception) -> str:
    """Without the file's name: whose job it is must not learn where the server keeps it."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _corrupt(path: PurePosixPath | str, error: Exception) -> PackageCorruptError:
    return PackageCorruptError(f"{path}: {_why(error)}; submit the project again")
