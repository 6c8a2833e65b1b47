"""A database whose files go away, are replaced, or cannot be written, while it is open."""

import logging
import shutil
import sqlite3
from contextlib import closing

import pytest

from ci_common.errors import DatabaseUnavailableError
from ci_persistence.database.database import Database
from support.immutable import immutable
from support.rows import Rows

pytestmark = pytest.mark.anyio

WRITE = "UPDATE controller_lease SET heartbeat_at = ?"


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "db" / "ci.db")
    yield rows
    await rows.database.close()


def every_file(rows):
    return sorted(rows.database.path.parent.glob("ci.db*"))


async def refused(rows, what):
    """Every way to write."""
    before = len(await rows.database.fetch_all("SELECT 1 FROM jobs"))
    with pytest.raises(DatabaseUnavailableError, match=what) as told:
        await rows.database.write(WRITE, ("then",))
    assert str(rows.database.path) not in told.value.message, "clients are told no paths"
    with pytest.raises(DatabaseUnavailableError, match=what):
        await rows.add()
    with pytest.raises(DatabaseUnavailableError, match=what):
        await rows.submissions.check_writable()
    assert len(await rows.database.fetch_all("SELECT 1 FROM jobs")) == before


async def works(rows):
    await rows.submissions.check_writable()
    assert await rows.submissions.get(await rows.add()) is not None


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_file_that_was_deleted(rows, suffix):
    await works(rows)
    rows.database.path.with_name(f"ci.db{suffix}").unlink()
    await refused(rows, "deleted or moved")


async def test_all_files_moved_away_and_back(rows, tmp_path):
    await works(rows)
    away = tmp_path / "away"
    away.mkdir()
    moved = every_file(rows)
    for path in moved:
        path.rename(away / path.name)
    await refused(rows, "deleted or moved")
    for path in moved:
        (away / path.name).rename(path)
    await works(rows)


async def test_the_directory_moved_away_and_back(rows, tmp_path):
    place = rows.database.path.parent
    place.rename(tmp_path / "away")
    await refused(rows, "deleted or moved")
    (tmp_path / "away").rename(place)
    await works(rows)


async def test_a_copy_in_its_place(rows):
    """It has the same content, but what is committed is not in it."""
    path = rows.database.path
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)
    await refused(rows, "replaced")


async def test_another_database_in_its_place_is_not_written(rows, tmp_path):
    other = await Rows().open(tmp_path / "other.db")
    await other.database.close()
    for path in every_file(rows):
        path.unlink()
    shutil.copy(tmp_path / "other.db", rows.database.path)
    await refused(rows, "replaced|deleted")
    with closing(sqlite3.connect(rows.database.path)) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


async def test_a_link_that_leads_elsewhere_now(tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "one.db")
    rows = await Rows().open(link)
    try:
        await works(rows)
        link.unlink()
        shutil.copy(tmp_path / "one.db", tmp_path / "two.db")
        link.symlink_to(tmp_path / "two.db")
        await refused(rows, "replaced")
    finally:
        await rows.database.close()


async def test_deleted_between_the_write_and_its_acknowledgement(rows):
    """The commit succeeds, into a file that is gone."""

    async def commit_while_deleted():
        async with rows.database.transaction() as connection:
            await connection.execute(WRITE, ("then",))
            rows.database.path.unlink()

    with pytest.raises(DatabaseUnavailableError, match="deleted"):
        await commit_while_deleted()


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_an_immutable_file(rows, suffix):
    """Not the -shm file: it is mapped, and the kernel ends a process that writes to it then."""
    with immutable(rows.database.path.with_name(f"ci.db{suffix}")):
        await refused(rows, "read-only")
    await works(rows)


async def test_an_error_of_the_disk(rows, monkeypatch):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE

    async def broken(*_):
        raise error

    monkeypatch.setattr(rows.database._writer, "execute", broken)
    monkeypatch.setattr(rows.database._writer, "execute_fetchall", broken)
    await refused(rows, "cannot be written")
    monkeypatch.undo()
    await works(rows)


async def test_an_error_of_a_statement_is_none_of_the_file(rows):
    with pytest.raises(sqlite3.IntegrityError):
        await rows.database.write("INSERT INTO instance (id, instance_id) VALUES (1, 'x')")


async def test_the_cause_and_the_remedy_are_logged_once(rows, caplog):
    caplog.set_level(logging.INFO)
    path = rows.database.path
    path.rename(path.with_name("away"))
    for _ in range(3):
        await refused(rows, "deleted or moved")
    path.with_name("away").rename(path)
    await works(rows)
    lost, back = (record.message for record in caplog.records if "database" in record.name)
    assert str(path) in lost
    assert "ci-admin restore" in lost
    assert "again" in back


async def test_others_that_come_and_go_are_no_matter(rows):
    """The last one to close removes the journal; we are the last."""
    for _ in range(3):
        other = Database(rows.database.path)
        await other.open()
        await other.write(WRITE, ("then",))
        await other.close()
        await works(rows)
