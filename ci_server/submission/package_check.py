"""Check of an uploaded zip, before the submission is accepted."""

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile

from ci_common.errors import InvalidPackageError, quoted
from ci_common.zip_directory import ZipEntry, shortest_path
from ci_common.zip_reader import ZipReader

CONFIG_FILES = ("ci.toml", "pyproject.toml")

_RATIO_FLOOR_BYTES = 128 << 10
"""Below this the compression ratio says nothing: a small file of spaces exceeds any."""

_CONFIG_BYTES = 256 << 10
_ENCRYPTED = 0x1
_METHODS = frozenset({ZIP_STORED, ZIP_DEFLATED})
"""What zip programs use. The others take a hundred times the time to check."""

_ALLOWED_KINDS = frozenset({0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
_LOCAL_HEADER_BYTES = 30
"""Without the name and what follows it."""

_LINK_BYTES = 4096
_DRIVE = re.compile(r"[A-Za-z]:(/|$)")
_NAME_BYTES = 255
_PATH_BYTES = 4000
"""The kernel takes 4096, of which the place the project is unpacked to needs some."""

_DEPTH = 200
"""Directories in each other. Projects have ten or twenty; each of them is a path in memory."""

_NOT_A_ZIP = (BadZipFile, UnicodeDecodeError, OSError)


@dataclass(frozen=True, slots=True)
class PackageLimits:
    """What an upload may grow to."""

    max_entries: int
    max_unpacked_bytes: int
    max_ratio: int


@dataclass(frozen=True, slots=True)
class CheckedPackage:
    """What was learnt on the way."""

    config_files: dict[str, bytes]
    """Content of those of `CONFIG_FILES` that the project has at its top."""


def check_package(path: Path, limits: PackageLimits) -> CheckedPackage:
    """Read the whole archive once; raise InvalidPackageError, naming the entry at fault.

    Takes about 30 MiB of memory for 100,000 entries, however long their names are.
    """
    try:
        with ZipReader(path.open("rb")) as archive:
            _check_directory(archive, path.stat().st_size, limits)
            return CheckedPackage(_checked_contents(archive))
    except _NOT_A_ZIP as error:
        raise InvalidPackageError(
            f"the file is not a zip archive, or it is truncated ({error}); zip the project's "
            "directory again and send that"
        ) from error


def _check_directory(archive: ZipReader, zip_bytes: int, limits: PackageLimits) -> None:
    """Everything that can be said before an entry is unpacked."""
    paths, total, end, overlaps, has_file = _Paths(limits.max_entries), 0, 0, False, False
    for number, entry in enumerate(archive.entries()):
        if number == limits.max_entries:
            raise InvalidPackageError(
                f"the zip has more than the {limits.max_entries} entries allowed "
                f"(CI_MAX_ENTRIES); the first one too many is {entry.name!r}"
            )
        path = _safe_path(entry)
        _check_kind(entry)
        paths.add(entry, path)
        has_file |= not entry.is_directory
        total += entry.size
        _check_total(entry, total, zip_bytes, limits)
        if not archive.is_inside(entry):
            raise _bad(entry, "is damaged (it is outside of the file); zip the project again")
        # Nearly always they are in order, and then need not be sorted to see that.
        overlaps |= entry.offset < end
        end = _least_end(entry)
    if not has_file:
        raise InvalidPackageError("the zip contains no files")
    if overlaps:
        _check_overlaps(archive)


class _Paths:
    """The paths so far, as 64-bit hashes: a hundred thousand take 10 MiB, names of any length.

    That two paths have the same hash happens once in a billion zips, and cannot be brought about:
    the hashes have a secret key. Such a zip would be refused.
    """

    def __init__(self, max_directories: int) -> None:
        self._max_directories = max_directories
        self._files: set[int] = set()
        self._directories: set[int] = set()
        self._parents: set[int] = set()

    def add(self, entry: ZipEntry, path: str) -> None:
        """Raises InvalidPackageError for a path that is there, or not in a directory."""
        key = hash(path)
        if key in self._files or (not entry.is_directory and key in self._directories):
            raise _bad(entry, "is in the zip twice")
        if entry.is_directory:
            self._directories.add(key)
        elif key in self._parents:
            raise _bad(entry, "is not a directory, and other entries lie below it")
        else:
            self._files.add(key)
        self._add_parents(entry, path)

    def _add_parents(self, entry: ZipEntry, path: str) -> None:
        """Directories that only the paths tell of count as entries: who unpacks has to make
        them.
        """
        while parent := path.rpartition("/")[0]:
            key = hash(parent)
            if key in self._parents:
                return
            if key in self._files:
                raise _bad(entry, f"lies below {quoted(parent)}, which is not a directory")
            self._parents.add(key)
            if len(self._parents) > self._max_directories:
                raise InvalidPackageError(
                    f"the paths in the zip have more than the {self._max_directories} directories "
                    f"allowed (CI_MAX_ENTRIES); the first one too many is {quoted(parent)}"
                )
            path = parent


def _safe_path(entry: ZipEntry) -> str:
    # What another system would take for a separator counts as one here too.
    name = entry.name.replace("\\", "/")
    parts = shortest_path(name).split("/")
    if "\0" in name:
        raise _bad(entry, "has a NUL byte in its name")
    if name.startswith("/") or _DRIVE.match(name):
        raise _bad(entry, "has an absolute path")
    if ".." in parts:
        raise _bad(entry, "leaves the project with '..'")
    if parts == [""] and not entry.is_directory:
        raise _bad(entry, "has no name")
    if len(name.encode()) > _NAME_BYTES:
        _check_lengths(entry, name, parts)
    if len(parts) > _DEPTH:
        raise _bad(entry, f"is nested more than {_DEPTH - 1} directories deep")
    return entry.path


def _check_lengths(entry: ZipEntry, name: str, parts: Iterable[str]) -> None:
    if any(len(part.encode()) > _NAME_BYTES for part in parts):
        raise _bad(entry, f"has a name longer than {_NAME_BYTES} bytes")
    if len(name.encode()) > _PATH_BYTES:
        raise _bad(entry, f"has a path longer than {_PATH_BYTES} bytes")


def _check_kind(entry: ZipEntry) -> None:
    if entry.flags & _ENCRYPTED:
        raise _bad(entry, "is encrypted; send the project without a password")
    if stat.S_IFMT(entry.mode) not in _ALLOWED_KINDS:
        raise _bad(entry, "is a device, pipe or socket")
    if entry.method not in _METHODS:
        raise _bad(entry, f"is compressed by method {entry.method}; use the usual one, deflate")


def _check_total(entry: ZipEntry, total: int, zip_bytes: int, limits: PackageLimits) -> None:
    """The sizes are the archive's own words; `ZipReader.content` holds it to them."""
    if total > limits.max_unpacked_bytes:
        raise _bad(
            entry,
            f"makes the project larger than {limits.max_unpacked_bytes >> 20} MiB unpacked "
            "(CI_MAX_UNPACKED_MB)",
        )
    if total > max(_RATIO_FLOOR_BYTES, limits.max_ratio * zip_bytes):
        raise _bad(
            entry,
            f"makes the project more than {limits.max_ratio} times as large as the zip "
            "(CI_MAX_COMPRESSION_RATIO)",
        )


def _least_end(entry: ZipEntry) -> int:
    return entry.offset + _LOCAL_HEADER_BYTES + entry.packed_size


def _check_overlaps(archive: ZipReader) -> None:
    """Each entry has its own bytes: archives that use some twice are made to deceive."""
    ordered = sorted(
        (entry.offset, _least_end(entry), entry.position) for entry in archive.entries()
    )
    for (_, end, position), (offset, _, following) in pairwise(ordered):
        if end > offset:
            raise _bad(
                archive.entry_at(following),
                f"overlaps the entry {archive.entry_at(position).name!r}",
            )


def _checked_contents(archive: ZipReader) -> dict[str, bytes]:
    """Unpack into nothing: finds damage and wrong sizes now, and not in the running job. Returns
    the config files.
    """
    found: dict[str, bytes] = {}
    for entry in archive.entries():
        if stat.S_ISLNK(entry.mode):
            _check_link(archive, entry)
        elif (name := _config_name(entry)) is not None:
            if entry.size > _CONFIG_BYTES:
                raise _bad(entry, f"is larger than {_CONFIG_BYTES >> 10} KiB")
            found[name] = b"".join(_content(archive, entry))
        else:
            for _ in _content(archive, entry):
                pass
    return found


def _content(archive: ZipReader, entry: ZipEntry) -> Iterator[bytes]:
    try:
        yield from archive.content(entry)
    except BadZipFile as error:
        raise _bad(entry, f"is damaged ({error}); zip the project again") from error


def _check_link(archive: ZipReader, entry: ZipEntry) -> None:
    if _config_name(entry) is not None:
        raise _bad(entry, "is a link; the job configuration must be a regular file")
    if entry.size > _LINK_BYTES:
        raise _bad(entry, "is a link with a target longer than any path")
    try:
        target = b"".join(_content(archive, entry)).decode()
    except UnicodeDecodeError:
        raise _bad(entry, "is a link with a target that is not UTF-8") from None
    if not target or "\0" in target or _leaves(entry.name, target):
        raise _bad(entry, f"is a link that leaves the project: {target!r}")


def _config_name(entry: ZipEntry) -> str | None:
    """The name of the config file that an entry is: some programs write `./ci.toml`."""
    if entry.is_directory or not entry.name.endswith(CONFIG_FILES):
        return None
    return entry.path if entry.path in CONFIG_FILES else None


def _leaves(name: str, target: str) -> bool:
    """Whether a link's target is outside, or could be by way of another link.

    A path through another link would be resolved from where that one points to. `..` in the
    middle is the only way to use that, so it is not allowed there.
    """
    if target.startswith("/"):
        return True
    depth = len(PurePosixPath(name).parts) - 1
    went_down = False
    for part in PurePosixPath(target).parts:
        if part == "..":
            if went_down:
                return True
            depth -= 1
            if depth < 0:
                return True
        else:
            went_down = True
    return False


def _bad(entry: ZipEntry, what: str) -> InvalidPackageError:
    return InvalidPackageError(f"the entry {entry.name!r} {what}")
