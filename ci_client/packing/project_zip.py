"""The project as one zip file.

The archive of a given tree is always the same, bytes and all. Packing takes a constant amount
of memory per file: contents are copied in pieces.
"""

import os
import stat
import time
import weakref
from calendar import timegm
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from ci_client.errors import ProjectError
from ci_client.packing.git_files import is_in_repository, read_facts
from ci_client.packing.project_files import (
    ProjectFile,
    ProjectFiles,
    Why,
    check_directory,
    find_project_files,
)
from ci_client.packing.project_table import read_packing_table
from ci_client.packing.upload_limits import UploadLimits
from ci_common.git_facts import GitFacts

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

_CHUNK = 256 * 1024
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_LATEST = (2107, 12, 31, 23, 59, 58)
_MADE_ON_UNIX = 3
_STORED, _DEFLATED = 0, 8


class ProjectZip:
    """A packed project in a temporary file, which is removed by `close`, at the end of a `with`
    block, when the object is forgotten, and when the program ends: whichever comes first.

    It is path-like: `zipfile.ZipFile(packed)` and `open(packed, "rb")` work.
    """

    def __init__(
        self,
        path: Path,
        file_count: int,
        left_out: dict[Why, list[str]],
        notes: Sequence[str] = (),
        git: GitFacts | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        """The zip file."""
        self.file_count = file_count
        self.left_out = left_out
        """What was left out and may be missed, by why."""
        self.notes = tuple(notes)
        """What else the user should know, a line each."""
        self.git = git
        """Of the work tree it was packed from; `None` when that is none."""
        self.labels = dict(labels or {})
        """What its job is to be found by, besides what the request says."""
        self.size = path.stat().st_size
        """Of the zip file, in bytes."""
        self.close = weakref.finalize(self, _remove, str(path))
        """Remove the file. May be called again."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> "ProjectZip":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def create_project_zip(
    path: str | os.PathLike[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limits: UploadLimits | None = None,
    git: bool | None = None,
) -> ProjectZip:
    """Pack a directory as a job needs it.

    What git tracks is sent, whatever its name. Of the rest are left out what git ignores, hidden
    files, `.git`, `__pycache__`, virtual environments, links that leave the directory, and what is
    no file. `include` are patterns in the language of `.gitignore` for what is to be sent although
    it is ignored or hidden, and `exclude` for what is not to be sent in any case, after those of
    the project's table: of all of them the last that matches decides. `limits` are those of the
    server (`Client.upload_limits`). `git` sends the commit as a small repository, or does not, in
    place of what the table says. What git says of the work tree becomes labels of the job, unless
    `git` is False.

    Raises:
        ProjectNotFound: there is no directory at `path`.
        ProjectTooLarge: it has more than the limits allow; the message names what is large.
        ProjectError: a file cannot be read, there is nothing to send, or no room for the zip.
        UsageError: the project's table has a wrong value, or there is no commit to be sent.
    """
    directory, limits = os.fspath(path), limits or UploadLimits()
    check_directory(directory)
    table = read_packing_table(directory)
    excluded = (*table.exclude, *exclude)
    found = find_project_files(directory, include, excluded)
    facts = read_facts(directory) if is_in_repository(directory) else None
    if facts is not None and git is False:
        facts = replace(facts, remote=None)
    labels = facts.labels if facts is not None and git is not False else {}
    with ExitStack() as stack:
        if table.git if git is None else git:
            _add_repository(directory, found, excluded, stack)
        limits.check(found.files)
        path = _packed(found.files, limits)
        # Within the block, whose end may be interrupted: then this removes the file.
        return ProjectZip(path, len(found.files), found.left_out, found.notes, facts, labels)


def _add_repository(
    directory: str, found: ProjectFiles, exclude: Sequence[str], stack: ExitStack
) -> None:
    """Add `.git`, whose files are there until the end of the stack."""
    from ci_client.packing.git_copy import copy_repository

    # In place of one that is included by name, which has more than a job should see.
    found.files = [file for file in found.files if file.name.partition("/")[0] != ".git"]
    try:
        from tempfile import TemporaryDirectory

        place = stack.enter_context(
            TemporaryDirectory(prefix="ci-git-", ignore_cleanup_errors=True)
        )
        files, notes = copy_repository(directory, Path(place), found.files, exclude, zip_seconds)
    except OSError as error:
        raise _no_room(error) from error
    found.files = sorted([*found.files, *files], key=lambda file: file.name)
    found.notes += notes


def _packed(files: Sequence[ProjectFile], limits: UploadLimits) -> Path:
    from tempfile import mkstemp

    try:
        descriptor, name = mkstemp(prefix="ci-project-", suffix=".zip")
    except OSError as error:
        raise _no_room(error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_zip(file, files, limits)
        return Path(name)
    except OSError as error:
        _remove(name)
        raise _no_room(error) from error
    except BaseException:
        _remove(name)
        raise


def _no_room(error: OSError) -> ProjectError:
    return ProjectError(
        f"Cannot write the zip of the project to the temporary directory ({error.strerror}). Free "
        "some space there, or set TMPDIR to another directory."
    )


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _write_zip(file: IO[bytes], files: Sequence[ProjectFile], limits: UploadLimits) -> None:
    from zipfile import ZipFile

    with ZipFile(file, "w") as archive:
        for entry in files:
            _add(archive, entry)
            limits.check_packed(file.tell(), files)


def _add(archive: "ZipFile", entry: ProjectFile) -> None:
    info = _header(entry)
    if entry.link_target is not None:
        archive.writestr(info, os.fsencode(entry.link_target))
        return
    if info.is_dir():
        archive.writestr(info, b"")
        return
    try:
        source = open(entry.path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _unreadable(entry, error) from error
    with source:
        chunk = _read(source, entry)
        info.compress_type = _compression_for(chunk)
        with archive.open(info, "w") as target:
            while chunk:
                target.write(chunk)
                chunk = _read(source, entry)


def _read(source: IO[bytes], entry: ProjectFile) -> bytes:
    try:
        return source.read(_CHUNK)
    except OSError as error:
        raise _unreadable(entry, error) from error


def _unreadable(entry: ProjectFile, error: OSError) -> ProjectError:
    return ProjectError(
        f"Cannot read {entry.path} ({error.strerror}). Make it readable, or leave it "
        "out with --exclude if the job does not need it."
    )


def _header(entry: ProjectFile) -> "ZipInfo":
    from zipfile import ZipInfo

    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise ProjectError(
            f"The name of {entry.name!r} is not UTF-8, so it cannot be sent. Rename the file, "
            "or leave it out with --exclude."
        ) from error
    info = ZipInfo(entry.name, _zip_time(entry.info.st_mtime))
    info.create_system = _MADE_ON_UNIX
    info.external_attr = (stat.S_IFMT(entry.info.st_mode) | entry.info.st_mode & 0o777) << 16
    info.file_size = entry.info.st_size
    # A low level: the time to pack is on the way to the first line of the log. ZipFile's own
    # level is not for entries that bring their header; this name works in every version.
    info._compresslevel = 1  # type: ignore[attr-defined,unused-ignore]
    return info


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """UTC, so that the archive does not depend on where it is made."""
    moment = time.gmtime(max(0.0, min(seconds, 2.0**33)))
    exact = (
        moment.tm_year, moment.tm_mon, moment.tm_mday,
        moment.tm_hour, moment.tm_min, moment.tm_sec,
    )  # fmt: skip
    return min(max(exact, _EARLIEST), _LATEST)


def zip_seconds(seconds: float) -> int:
    """The time that a file of this one has in the zip, which knows every other second."""
    return timegm(_zip_time(seconds)) // 2 * 2


def _compression_for(sample: bytes) -> int:
    """Deflate what gains by it, except what shrinks so much that it looks like a zip bomb."""
    from zlib import compress

    shrunk = len(compress(sample[: 64 * 1024], 1))
    gain = min(len(sample), 64 * 1024) / shrunk
    return _DEFLATED if 1.05 < gain < 100 else _STORED
