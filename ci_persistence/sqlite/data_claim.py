"""Which data directory a database uses: one, and no other database uses that directory.

The directory names its database (data_directory.MARKER), and the database records where the
directory is. A directory that names none is claimed when a server starts, unless something speaks
against it.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from ci_common.errors import DatabaseError, DatabaseUnavailableError
from ci_persistence.database.database import Database
from ci_persistence.database.errors import is_out_of_reach
from ci_persistence.database.write_lock import read_only
from ci_persistence.files.data_directory import (
    MARKER,
    DataDirectory,
    Marker,
    read_marker,
    write_marker,
)
from ci_persistence.sqlite.job_rows import LIVE

_JOB_FILES = ("packages/*.zip", "logs/??/*", "artifacts/??/*")
"""Their names begin with the id of their job."""

_BATCH = 500

_NEEDS_FILES = (
    "SELECT count(*) AS jobs FROM jobs "  # noqa: S608 - constants
    f"WHERE status IN {LIVE} AND (package_sha256 IS NOT NULL OR status != 'queued') "
    "OR log_size > 0 OR artifacts_size > 0"
)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A database that is to use a data directory."""

    path: Path
    instance_id: str
    recorded: Path | None
    """The data directory that it used last; `None` when it has not recorded one yet."""

    @property
    def marker(self) -> Marker:
        """What its data directory says."""
        return Marker(self.instance_id, str(self.path.resolve()))


async def claim(data_path: Path, database: Database) -> DataDirectory:
    """The data directory of a server that starts.

    Raises DatabaseError when another database uses it, or when the files of this one must be
    elsewhere.
    """
    # The transaction keeps a second server from claiming another directory at the same time.
    async with database.transaction() as connection:
        claimant = await _claimant(database)
        check_claim(data_path, claimant)
        if read_marker(data_path) is None:
            await _check_files(data_path, claimant, database)
            _write(data_path, claimant.marker)
            check_claim(data_path, claimant)  # another database may have been quicker
        await _record(data_path, claimant, connection)
    return DataDirectory(data_path, claimant.instance_id)


async def adopt(data_path: Path, database: Database) -> None:
    """Claim a directory although the files of the database's jobs are not in it.

    Raises DatabaseError when another database uses it, or when the directory that this one used
    is still there.
    """
    async with database.transaction() as connection:
        claimant = await _claimant(database)
        marker = read_marker(data_path)
        if marker is not None and marker.instance_id != claimant.instance_id:
            if is_used(marker, claimant.path):
                raise DatabaseError(_used_by_other(data_path, marker, claimant.path))
            marker = None
        _check_recorded(data_path, claimant)
        if marker is None:
            _write(data_path, claimant.marker, replace=True)
        await _record(data_path, claimant, connection)


def check_before_open(data_path: Path, database: Path) -> None:
    """Raise DatabaseError where the database of a data directory is missing: a new one must not
    take its place.
    """
    marker = read_marker(data_path)
    if marker is None or (database.exists() and database.stat().st_size):
        return
    raise DatabaseError(
        f"there is no database {database.absolute()}, but its data directory "
        f"{data_path.absolute()} is there: it belongs to the database {marker.database}. Was that "
        "deleted or moved? Put it back, correct CI_DB_PATH, or restore a backup (`ci-admin restore "
        "--force FILE`). To begin anew without those jobs, name an empty directory (CI_DATA_DIR)"
    )


def check_belongs(data_path: Path, database: Path) -> None:
    """Raise DatabaseError when they do not belong together; for commands, which claim nothing."""
    with contextlib.suppress(sqlite3.Error):  # whoever opens it tells what is wrong with it
        if (claimant := read_claimant(database)) is not None:
            check_claim(data_path, claimant)
            if claimant.recorded is not None and read_marker(data_path) is None:
                raise DatabaseError(_gone(data_path, claimant))


def check_claim(data_path: Path, claimant: Claimant) -> None:
    """Raise DatabaseError when a directory is another database's, or this one has another."""
    marker = read_marker(data_path)
    if marker is not None and marker.instance_id != claimant.instance_id:
        raise DatabaseError(_used_by_other(data_path, marker, claimant.path))
    _check_recorded(data_path, claimant)


def is_used(marker: Marker, database: Path) -> bool:
    """Whether another database that a directory names is where it was. Where that is the path of
    `database`, which has another instance id now, it is not.
    """
    other = Path(marker.database)
    if _is_same(other, database):
        return False
    try:
        found = read_claimant(other)
    except sqlite3.Error as error:
        return is_out_of_reach(error)  # another user's, or busy: it may be in use
    except (OSError, DatabaseUnavailableError):
        return True
    return found is not None and found.instance_id == marker.instance_id


def read_claimant(database: Path) -> Claimant | None:
    """What a database, of any schema, says of itself; `None` when there is none."""
    if not database.is_file() or not database.stat().st_size:
        return None
    with read_only(database) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM instance").fetchone()
    return None if row is None else _from_row(database, dict(row))


def _from_row(database: Path, row: dict[str, str | None]) -> Claimant:
    recorded = row.get("data_path")  # not in older schemas
    return Claimant(database, str(row["instance_id"]), Path(recorded) if recorded else None)


async def _claimant(database: Database) -> Claimant:
    row = await database.fetch_one("SELECT instance_id, data_path FROM instance")
    if row is None:
        raise DatabaseError(f"the database {database.path} has no instance id; restore a backup")
    return _from_row(database.path, dict(row))


async def _record(data_path: Path, claimant: Claimant, connection: aiosqlite.Connection) -> None:
    if read_marker(data_path) != claimant.marker:  # the database was moved
        _write(data_path, claimant.marker, replace=True)
    if claimant.recorded != (place := _resolved(data_path)):
        await connection.execute("UPDATE instance SET data_path = ?", (str(place),))


def _write(data_path: Path, marker: Marker, *, replace: bool = False) -> None:
    try:
        write_marker(data_path, marker, replace=replace)
    except OSError as error:
        raise DatabaseError(
            f"the data directory {data_path.absolute()} cannot be written: {error}. Create it, "
            "make the server's user its owner, or choose another one with CI_DATA_DIR"
        ) from error


def _resolved(path: Path) -> Path:
    return path.resolve()


def _check_recorded(data_path: Path, claimant: Claimant) -> None:
    """The directory that the database used last must not be there, unless it is this one, perhaps
    by another path.
    """
    recorded = claimant.recorded
    if recorded is None or _is_same(data_path, recorded):
        return
    try:
        former = read_marker(recorded)
    except DatabaseError:
        return  # not ours to read, so it is not ours
    if former is None or former.instance_id != claimant.instance_id:
        return
    if is_used(former, claimant.path):
        raise DatabaseError(
            f"the database {claimant.path.absolute()} is a copy of {former.database}, whose data "
            f"directory {recorded} is still in use: both would start the same jobs. Make copies "
            "with `ci-admin backup` and `ci-admin restore --new-instance`; or, if the original is "
            f"given up, delete {recorded / MARKER}"
        )
    raise DatabaseError(
        f"the files of the database {claimant.path.absolute()} are in the data directory "
        f"{recorded}, not in {data_path.absolute()}: a job's files would be missing in one of "
        f"them. Set CI_DATA_DIR={recorded}; or, to change the place, stop all servers and move "
        f"the whole directory (after a copy, delete {recorded / MARKER})"
    )


async def _check_files(data_path: Path, claimant: Claimant, database: Database) -> None:
    """Whether a directory that names no database can be this one's: it holds files of its jobs,
    or neither has any.
    """
    found = False
    for batch in _batches(data_path):
        found = True
        holes = ", ".join("?" * len(batch))
        known = f"SELECT 1 FROM jobs WHERE job_id IN ({holes}) LIMIT 1"  # noqa: S608
        if await database.fetch_one(known, batch):
            return
    if found:
        raise DatabaseError(_strange_files(data_path, claimant))
    row = await database.fetch_one(_NEEDS_FILES)
    if row is not None and row["jobs"]:
        raise DatabaseError(_no_files(data_path, claimant, int(row["jobs"])))


def _batches(data_path: Path) -> Iterator[list[str]]:
    """The ids of the jobs that have files in a directory."""
    paths = itertools.chain.from_iterable(map(data_path.glob, _JOB_FILES))
    job_ids = (path.name.partition(".")[0] for path in paths)
    while batch := list(itertools.islice(job_ids, _BATCH)):
        yield batch


def _used_by_other(data_path: Path, marker: Marker, database: Path) -> str:
    same = _is_same(Path(marker.database), database)
    former = ", which was at the same path: was the database deleted?" if same else ""
    return (
        f"the data directory {data_path.absolute()} belongs to the database {marker.database}, "
        f"not to {database.absolute()} (its {MARKER} names another instance{former}). Two "
        "databases must not share one: name another directory with CI_DATA_DIR, or the right "
        "database with CI_DB_PATH"
    )


def _gone(data_path: Path, claimant: Claimant) -> str:
    return (
        f"the data directory {data_path.absolute()} of the database {claimant.path.absolute()} is "
        f"gone, or was replaced (it has no file {MARKER}). Put it back (mount its disk, or move it "
        "back); if its files are lost for good, run `ci-admin adopt`"
    )


def _strange_files(data_path: Path, claimant: Claimant) -> str:
    return (
        f"the data directory {data_path.absolute()} holds files of jobs that the database "
        f"{claimant.path.absolute()} does not know: it belongs to another database. Name the right "
        "one with CI_DATA_DIR or CI_DB_PATH; if that database is lost for good, name an empty "
        "directory"
    )


def _no_files(data_path: Path, claimant: Claimant, jobs: int) -> str:
    former = f", which were in {claimant.recorded}" if claimant.recorded else ""
    return (
        f"the data directory {data_path.absolute()} is empty, but the database "
        f"{claimant.path.absolute()} has {jobs} jobs with files{former}. Is its disk not mounted, "
        "or CI_DATA_DIR another than before? If the files are lost for good, run `ci-admin adopt` "
        "to go on without them, or restore a backup"
    )


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one directory: links and bind mounts are no difference."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other
