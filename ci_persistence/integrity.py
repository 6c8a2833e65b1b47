"""Whether a file is a sound database of ours, and the versions of SQLite that may damage one."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ci_common.errors import DatabaseError

_MOST_PROBLEMS = 5
_INSTRUCTIONS_BETWEEN_LOOKS = 10_000

_WAL_RESET_FIXES = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The WAL-reset bug (https://sqlite.org/wal.html#walresetbug) is fixed from the last of these
on, and in the release branches of the others."""


def find_damage(path: Path, *, thorough: bool, seconds: float | None = None) -> list[str] | None:
    """What is wrong with a database file; empty when nothing is, `None` when time ran out.

    `thorough` also compares indexes with tables, which takes several times as long. Raises
    sqlite3.Error when the file cannot even be read. For a thread of its own.
    """
    check = "integrity_check" if thorough else "quick_check"
    deadline = None if seconds is None else time.monotonic() + seconds
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA query_only=ON")
        connection.set_progress_handler(
            lambda: deadline is not None and time.monotonic() > deadline,
            _INSTRUCTIONS_BETWEEN_LOOKS,
        )
        try:
            rows = connection.execute(f"PRAGMA {check}({_MOST_PROBLEMS})").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
    problems = [str(row[0]) for row in rows]
    return [] if problems == ["ok"] else problems


def check_is_ours(path: Path) -> None:
    """Raise DatabaseError for the database of another program. An empty one is ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("BEGIN")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = {str(row[0]) for row in tables}
    if (version == 0 and names) or (version > 0 and not {"jobs", "instance"} <= names):
        raise DatabaseError(
            f"{path} is the SQLite database of another program (it has the tables "
            f"{', '.join(sorted(names)[:5]) or '(none)'}); it was left as it is. Name another "
            "file with CI_DB_PATH"
        )


def has_wal_reset_bug(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether several processes that write at once can, very rarely, damage the database."""
    if version >= _WAL_RESET_FIXES[-1] or version < (3, 7, 0):
        return False
    return not any(fix[:2] == version[:2] and version >= fix for fix in _WAL_RESET_FIXES)
