"""Whether a file is a sound database of ours."""

import sqlite3
import time
from pathlib import Path

from ci_common.errors import DatabaseError
from ci_persistence.database.write_lock import read_only

_MOST_PROBLEMS = 5
_INSTRUCTIONS_BETWEEN_LOOKS = 10_000


def find_damage(path: Path, *, thorough: bool, seconds: float | None = None) -> list[str] | None:
    """What is wrong with a database file; empty when nothing is, `None` when time ran out.

    `thorough` also compares indexes with tables, which takes several times as long. Raises
    sqlite3.Error when the file cannot even be read. For a thread of its own.
    """
    check = "integrity_check" if thorough else "quick_check"
    deadline = None if seconds is None else time.monotonic() + seconds
    with read_only(path) as connection:
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
    return [problem for (problem,) in rows if is_damage(str(problem))]


def is_damage(problem: str) -> bool:
    """Whether a line of SQLite's check is about damage. SQLite 3.44 also complains that it cannot
    check full-text indexes without writing.
    """
    cannot_check = "validate the inverted index" in problem and "readonly database" in problem
    return problem != "ok" and not cannot_check


def check_is_ours(path: Path) -> None:
    """Raise DatabaseError for the database of another program. An empty one is ours."""
    with read_only(path) as connection:
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
