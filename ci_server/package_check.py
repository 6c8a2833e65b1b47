"""Whether an uploaded zip is one we would unpack: decided before anything is promised."""

import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from ci_common.errors import InvalidPackageError, quoted
from ci_server.zip_directory import entry_beyond

CONFIG_FILES = ("ci.toml", "pyproject.toml")

_RATIO_FLOOR_BYTES = 128 << 10
"""Below this the compression ratio says nothing: a small file of spaces exceeds any."""

_CONFIG_BYTES = 256 << 10
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What zip programs use. The others take a hundred times the time to check."""

_ALLOWED_KINDS = frozenset({0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
_LOCAL_HEADER_BYTES = 30
"""Without the name and what follows it."""

_READ_BYTES = 1 << 20
_LINK_BYTES = 4096
_DRIVE = re.compile(r"[A-Za-z]:(/|$)")
_NAME_BYTES = 255
_PATH_BYTES = 4000
"""The kernel takes 4096, of which the place the project is unpacked to needs some."""

_DEPTH = 200
"""Directories in each other. Projects have ten or twenty; each of them is a path in memory."""

# Opening one raises NotImplementedError for a version of the format it does not know.
_NOT_A_ZIP = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    ValueError,
    EOFError,
    OSError,
)


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
    """Read the whole archive once; raise InvalidPackageError, naming the entry at fault."""
    try:
        _check_count(path, limits)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_not_empty(entries)
            _check_names(entries, limits)
            _check_overlaps(entries)
            _check_declared_sizes(entries, path.stat().st_size, limits)
            for entry in entries:
                _check_content(archive, entry)
            _check_links(archive, entries)
            return CheckedPackage(_config_files(archive))
    except InvalidPackageError:
        raise
    except _NOT_A_ZIP as error:
        raise InvalidPackageError(
            f"the file is not a zip archive, or it is truncated ({error}); zip the project's "
            "directory again and send that"
        ) from error


def _check_count(path: Path, limits: PackageLimits) -> None:
    if (name := entry_beyond(path, limits.max_entries)) is not None:
        raise InvalidPackageError(
            f"the zip has more than the {limits.max_entries} entries allowed (CI_MAX_ENTRIES); "
            f"the first one too many is {name!r}"
        )


def _check_not_empty(entries: list[zipfile.ZipInfo]) -> None:
    if not any(not _is_directory(entry) for entry in entries):
        raise InvalidPackageError("the zip is empty: it has no file in it")


def _check_names(entries: list[zipfile.ZipInfo], limits: PackageLimits) -> None:
    seen: dict[PurePosixPath, bool] = {}
    for entry in entries:
        path = _safe_path(entry)
        _check_kind(entry)
        if path in seen and not (_is_directory(entry) and seen[path]):
            raise _bad(entry, "is in the zip twice")
        seen[path] = _is_directory(entry)
    _check_parents(seen, limits)


def _check_parents(seen: dict[PurePosixPath, bool], limits: PackageLimits) -> None:
    """Directories that only the paths tell of count as entries: who unpacks has to make them."""
    told: set[PurePosixPath] = set()
    for path in seen:
        parent = path.parent
        while parent.name and parent not in told:
            if seen.get(parent) is False:
                raise InvalidPackageError(
                    f"the entry {quoted(str(path))} lies below {quoted(str(parent))}, "
                    "which is not a directory"
                )
            told.add(parent)
            if len(told) > limits.max_entries:
                raise InvalidPackageError(
                    f"the paths in the zip have more than the {limits.max_entries} directories "
                    f"allowed (CI_MAX_ENTRIES); the first one too many is {quoted(str(parent))}"
                )
            parent = parent.parent


def _is_directory(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")  # ZipInfo.is_dir() fails on an empty name


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    # What another system would take for a separator counts as one here too.
    name = entry.orig_filename.replace("\\", "/")
    if "\0" in name:
        raise _bad(entry, "has a NUL byte in its name")
    if name.startswith("/") or _DRIVE.match(name):
        raise _bad(entry, "has an absolute path")
    path = PurePosixPath(name)
    if ".." in path.parts:
        raise _bad(entry, "leaves the project with '..'")
    if not path.parts and not _is_directory(entry):
        raise _bad(entry, "has no name")
    if any(len(part.encode(errors="replace")) > _NAME_BYTES for part in path.parts):
        raise _bad(entry, f"has a name longer than {_NAME_BYTES} bytes")
    if len(name.encode(errors="replace")) > _PATH_BYTES:
        raise _bad(entry, f"has a path longer than {_PATH_BYTES} bytes")
    if len(path.parts) > _DEPTH:
        raise _bad(entry, f"lies in more than {_DEPTH - 1} directories, one in another")
    return PurePosixPath(entry.filename)


def _check_kind(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise _bad(entry, "is encrypted; send the project without a password")
    if stat.S_IFMT(entry.external_attr >> 16) not in _ALLOWED_KINDS:
        raise _bad(entry, "is a device, pipe or socket")
    if entry.compress_type not in _METHODS:
        raise _bad(
            entry, f"is compressed by method {entry.compress_type}; use the usual one, deflate"
        )


def _check_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Each entry has its own bytes: archives that use some twice are made to deceive."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for entry, following in pairwise(ordered):
        end = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size
        if end > following.header_offset:
            raise _bad(following, f"shares its bytes with the entry {entry.filename!r}")


def _check_declared_sizes(
    entries: list[zipfile.ZipInfo], zip_bytes: int, limits: PackageLimits
) -> None:
    """The sizes are the archive's own words; `_check_content` holds it to them."""
    total = 0
    for entry in entries:
        total += entry.file_size
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


def _check_content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Unpack into nothing: finds damage and wrong sizes now, and not in the running job."""
    size = 0
    try:
        with archive.open(entry) as content:
            while chunk := content.read(_READ_BYTES):
                size += len(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise _bad(entry, f"is damaged ({error}); zip the project again") from error
    except Exception as error:
        # bz2 and lzma each have errors of their own, and OSError for damaged data.
        raise _bad(entry, f"cannot be unpacked ({error}); zip the project again") from error
    if size != entry.file_size:
        raise _bad(entry, f"says it has {entry.file_size} bytes, but has {size}")


def _check_links(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        if not stat.S_ISLNK(entry.external_attr >> 16):
            continue
        if entry.file_size > _LINK_BYTES:
            raise _bad(entry, "is a link with a target longer than any path")
        try:
            target = archive.read(entry).decode()
        except UnicodeDecodeError:
            raise _bad(entry, "is a link with a target that is not UTF-8") from None
        if not target or "\0" in target or _leaves(entry.filename, target):
            raise _bad(entry, f"is a link that leaves the project: {target!r}")


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


def _config_files(archive: zipfile.ZipFile) -> dict[str, bytes]:
    # By path, as some programs write `./ci.toml`.
    entries = {str(PurePosixPath(entry.filename)): entry for entry in archive.infolist()}
    found = {}
    for name in CONFIG_FILES:
        entry = entries.get(name)
        if entry is None or _is_directory(entry):
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _bad(entry, "is a link; the project's table must be in a file")
        if entry.file_size > _CONFIG_BYTES:
            raise _bad(entry, f"is larger than {_CONFIG_BYTES >> 10} KiB")
        found[name] = archive.read(entry)
    return found


def _bad(entry: zipfile.ZipInfo, what: str) -> InvalidPackageError:
    return InvalidPackageError(f"the entry {entry.filename!r} {what}")
