"""What SQLite's errors mean, and what to do about them."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci_common.errors import DatabaseError, DiskFullError
from ci_persistence.database.location import disk_full

_PRIMARY = 0xFF
"""SQLite's extended codes have the primary one in their lowest byte."""

_ROOM_BYTES = 1 << 18
"""With less than this SQLite cannot make its side files."""

_FULL_LOOKS_LIKE = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})

_MEANINGS: dict[int, str] = {
    sqlite3.SQLITE_NOTADB: (
        "the file is not a SQLite database (or is encrypted). It was left as it is: name another "
        "file with CI_DB_PATH, or move it away"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the database is damaged. It was left as it is: keep a copy of it and of its -wal file, "
        "check the disk, and go back to a backup with `ci-admin restore --force FILE`"
    ),
    sqlite3.SQLITE_READONLY: (
        "the file or its directory cannot be written; change its owner or mode, or name another "
        "file with CI_DB_PATH"
    ),
    sqlite3.SQLITE_BUSY: (
        "another program keeps it locked; end that program (`fuser` on the file names it) and "
        "start again"
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk reported an error; see the kernel's log, and go back to a backup with "
        "`ci-admin restore` if the disk lost something"
    ),
}

_UNREADABLE = frozenset(
    {
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
    }
)

_UNWRITABLE = _UNREADABLE | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY}

_OTHERWISE = (
    "it must be a SQLite file of this product, or no file yet, on a local disk this user may "
    "write to (CI_DB_PATH)"
)


def explain(path: Path, error: sqlite3.Error) -> DatabaseError:
    """What happened, what it means, and what to do."""
    if is_full_disk(path, error):
        return disk_full(path)
    return DatabaseError(f"cannot use the database {path}: {error}: {meaning_of(error)}")


def meaning_of(error: sqlite3.Error) -> str:
    """What an error means, and what to do."""
    return _MEANINGS.get(_primary_code(error), _OTHERWISE)


def damaged(path: Path, problems: list[str]) -> DatabaseError:
    """The integrity check found something."""
    meaning = _MEANINGS[sqlite3.SQLITE_CORRUPT]
    return DatabaseError(
        f"cannot use the database {path}: {meaning}. SQLite's check says: {'; '.join(problems)}"
    )


def is_disk_full(error: sqlite3.Error) -> bool:
    """Whether SQLite found no room for what it was to write."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


def is_full_disk(path: Path, error: sqlite3.Error) -> bool:
    """The same, or something that looks different because of it."""
    return is_disk_full(error) or _looks_full(path, error)


def is_unreadable(error: sqlite3.Error) -> bool:
    """Whether the files of an open database cannot be read, whatever the query is."""
    return _primary_code(error) in _UNREADABLE


def is_unwritable(error: sqlite3.Error) -> bool:
    """Whether they cannot be written, whatever the statement is."""
    return _primary_code(error) in _UNWRITABLE


def _looks_full(path: Path, error: sqlite3.Error) -> bool:
    """Whether a failure that may have other causes is for want of room."""
    return _primary_code(error) in _FULL_LOOKS_LIKE and _is_full(path)


@contextmanager
def disk_full_told(path: Path) -> Iterator[None]:
    """Make it a DiskFullError that there is no room for a row: the same may work later."""
    try:
        yield
    except sqlite3.Error as error:
        if is_full_disk(path, error):
            raise DiskFullError("the server's disk has no room for the database") from error
        raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite cannot make sense of the file."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_out_of_reach(error: sqlite3.Error) -> bool:
    """Whether a database is there, perhaps, and sound, but not for this process, or not now."""
    return _primary_code(error) in _UNWRITABLE and not is_damage(error)


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.resolve().parent).free < _ROOM_BYTES
    except OSError:
        return False
