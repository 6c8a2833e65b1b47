"""Where a database may be: what would fail later, and with a worse message, is refused here."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.database.file_systems import MOUNTS, mount_of

SIDE_FILES = ("-wal", "-shm")

_CHOOSE = "choose another place with CI_DB_PATH"


def check_location(path: Path, mounts: Path = MOUNTS) -> None:
    """Raise DatabaseError unless a database can be used here; makes its directory."""
    check_place(path, mounts)
    check_restored(path)


def check_restored(path: Path) -> None:
    """Raise DatabaseError if a restore was interrupted. Without the database's lock, a restore may
    also be in progress.
    """
    if restoring_mark(path).exists():
        raise DatabaseError(
            f"a restore of {path} was cut off, so rows and files do not belong together; run "
            "`ci-admin restore --force FILE` again"
        )


def check_place(path: Path, mounts: Path = MOUNTS) -> None:
    """The same, whatever state a restore left."""
    if path.is_dir():
        raise DatabaseError(
            f"{path} is a directory, not a database: name a file in it (CI_DB_PATH={path}/ci.db)"
        )
    place = path.resolve()
    _check_mount(path, mounts)
    _make_directory(path, place.parent)
    _check_access(path, place)


def make_private(path: Path) -> None:
    """Make an empty file where there is none, for this user only; SQLite gives the files of its
    journal the same mode. Raises OSError.
    """
    with contextlib.suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(path.resolve(), flags, 0o600))


def close_to_others(path: Path) -> None:
    """Take away what others may do with a database that an earlier version made: it holds names,
    hashes of keys, commands and variables. What a group may do is the operator's choice.
    """
    place = path.resolve()
    for suffix in ("", *SIDE_FILES):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            file = place.with_name(place.name + suffix)
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & stat.S_IRWXO:
                file.chmod(mode & ~stat.S_IRWXO)


def restoring_mark(path: Path) -> Path:
    """A file that is there while a restore is between two worlds."""
    return path.resolve().with_name(f"{path.resolve().name}-restoring")


def _check_mount(path: Path, mounts: Path) -> None:
    mount = mount_of(path, mounts)
    if mount is None:
        return
    if mount.is_network:
        raise DatabaseError(
            f"{path} is on a network file system ({mount.type} at {mount.point}). SQLite's locks "
            f"do not hold there, and the database would be destroyed; {_CHOOSE}, on a local disk"
        )
    if mount.read_only:
        raise DatabaseError(
            f"{path} is on a file system mounted read-only ({mount.point}). A disk that reports "
            f"errors becomes so: see the kernel's log; then mount it writable, or {_CHOOSE}"
        )


def _make_directory(path: Path, directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused_by_system(path, error) from error


def _check_access(path: Path, place: Path) -> None:
    """As the system would decide for this user: for root, only what is immutable is closed."""
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise DatabaseError(
            f"the directory {place.parent} is not writable for this user ({_user()}), so "
            f"{path} cannot be used: SQLite makes files beside it. Change its owner, or {_CHOOSE}"
        )
    for suffix in ("", *SIDE_FILES):
        file = place.with_name(place.name + suffix)
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise DatabaseError(
                f"{file} is read-only for this user ({_user()}). Was it made by another user? "
                f"Change its owner or mode, or {_CHOOSE}"
            )


def refused_by_system(path: Path, error: OSError) -> DatabaseError:
    """What an error of the operating system means for the database."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(path)
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return DatabaseError(
            f"{path} cannot be created: a part of its path is a file, not a directory; {_CHOOSE}"
        )
    return DatabaseError(
        f"the database {path} cannot be used: {error}. This user ({_user()}) must be able to "
        f"write there; change the owner or mode, or {_CHOOSE}"
    )


def disk_full(path: Path) -> DatabaseError:
    """There is no room for a write-ahead log."""
    return DatabaseError(
        f"the disk of the database {path} is full, so nothing new could be accepted or recorded; "
        f"free space on it and start again, or {_CHOOSE}"
    )


def _user() -> str:
    return f"uid {os.geteuid()}"
