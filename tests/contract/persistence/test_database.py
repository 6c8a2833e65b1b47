"""What the database promises its rows."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from ci_common.errors import DatabaseError, DatabaseUnavailableError, DiskFullError
from ci_common.job import (
    JobStatus,
)
from ci_persistence.database.database import Database
from ci_persistence.database.errors import disk_full_told
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.database.write_lock import WriteLock
from support.jobs import NOON
from support.rows import Rows
from support.waiting import until

pytestmark = pytest.mark.anyio


async def test_rows_survive_and_are_seen_by_others(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    other = await Rows().open(tmp_path / "ci.db")
    job_id = await rows.add()
    assert (await other.submissions.get(job_id)).status is JobStatus.QUEUED
    await rows.database.close()
    await rows.database.close()
    assert await other.submissions.request_cancel(job_id, NOON)
    await other.database.close()
    assert other.database.instance_id == rows.database.instance_id


def modes(directory):
    return {path.name: path.stat().st_mode & 0o777 for path in directory.glob("ci.db*")}


async def test_others_of_the_machine_cannot_read_it(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    assert {"ci.db", "ci.db-wal", "ci.db-shm"} <= set(modes(tmp_path))
    assert set(modes(tmp_path).values()) == {0o600}
    await rows.database.close()


async def test_one_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "ci.db"
    path.touch()
    path.chmod(0o664)
    rows = await Rows().open(path)
    assert modes(tmp_path)["ci.db"] == modes(tmp_path)["ci.db-wal"] == 0o660
    await rows.database.close()


async def test_an_empty_file_is_fine_and_directories_are_made(tmp_path):
    path = tmp_path / "new" / "ci.db"
    path.parent.mkdir()
    path.touch()
    rows = await Rows().open(path)
    await rows.database.close()
    rows = await Rows().open(tmp_path / "x" / "y" / "ci.db")
    await rows.database.close()


async def test_commits_are_durable(rows):
    for connection in (rows.database._writer,):
        (row,) = await connection.execute_fetchall("PRAGMA synchronous")
        assert row[0] == 2
        (row,) = await connection.execute_fetchall("PRAGMA journal_mode")
        assert row[0] == "wal"


async def test_the_reader_cannot_write(rows):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await rows.database.fetch_all("DELETE FROM jobs")


async def test_a_transaction_whose_body_fails_is_rolled_back(rows):
    job_id = await rows.add()

    async def delete_and_fail():
        async with rows.database.transaction() as connection:
            await connection.execute("DELETE FROM jobs")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await delete_and_fail()
    assert await rows.submissions.get(job_id) is not None
    await rows.add()


async def test_a_transaction_cancelled_at_any_point_leaves_none_open(rows):
    """What is written afterwards is committed, and not part of a transaction nobody ends."""
    for turns in range(12):
        task = asyncio.create_task(rows.submissions.check_writable())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        job_id = await rows.add()
        assert await rows.submissions.get(job_id) is not None, f"cancelled after {turns} turns"
        assert not rows.database._writer.in_transaction


async def test_check_writable(rows):
    await rows.submissions.check_writable()
    await rows.database._writer.execute("PRAGMA query_only=ON")
    with pytest.raises(DatabaseUnavailableError, match="cannot be written"):
        await rows.submissions.check_writable()
    await rows.database._writer.execute("PRAGMA query_only=OFF")
    await rows.submissions.check_writable()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN])
@pytest.mark.parametrize(
    ("free", "told"), [(0, DiskFullError), (1 << 30, sqlite3.OperationalError)]
)
def test_errors_that_a_full_disk_causes_are_told_as_such(tmp_path, monkeypatch, code, free, told):
    """SQLite does not always say FULL: of its side files it says that they cannot be had."""
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    with pytest.raises(told), disk_full_told(tmp_path / "ci.db"):
        raise error


async def test_a_row_there_is_no_room_for_is_told_and_can_be_written_later(rows):
    await rows.database.write("PRAGMA max_page_count=1")
    with pytest.raises(DiskFullError):
        await rows.add(env={"LONG": "x" * 100_000})
    await rows.database.write("PRAGMA max_page_count=100000")
    await rows.add(env={"LONG": "x" * 100_000})


async def test_a_newer_schema_is_refused(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    await rows.database.write(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    await rows.database.close()
    with pytest.raises(DatabaseError, match="newer version"):
        await Database(tmp_path / "ci.db").open()


async def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "ci.db"
    path.write_bytes(b"this is no database, but long enough to be one\n" * 100)
    with pytest.raises(DatabaseError, match="CI_DB_PATH"):
        await Database(path).open()
    with pytest.raises(DatabaseError):
        await Database(tmp_path).open()


def test_a_process_that_cannot_open_its_database_ends(tmp_path):
    path = tmp_path / "ci.db"
    path.write_bytes(b"this is no database, but long enough to be one\n" * 100)
    result = subprocess.run(
        [sys.executable, "-m", "ci_controller"],
        env={"CI_DB_PATH": str(path), "PATH": "/usr/bin:/bin", "CI_EXECUTOR": "process"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "CI_DB_PATH" in result.stderr
    assert "Traceback" not in result.stderr


def test_processes_that_start_at_once_make_one_database(tmp_path):
    source = (
        "import asyncio, sys, pathlib\n"
        "from ci_persistence.database.database import Database\n"
        "async def main():\n"
        "    database = Database(pathlib.Path(sys.argv[1]))\n"
        "    await database.open()\n"
        "    print(database.instance_id)\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(tmp_path / "ci.db")], stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(answers)) == 1


def sqlite_threads():
    return {thread for thread in threading.enumerate() if "connection_worker" in thread.name}


async def test_a_cancelled_close_leaves_no_thread_that_keeps_the_process(tmp_path):
    """Such as by a second SIGTERM, while another process writes."""
    before = sqlite_threads()
    database = Database(tmp_path / "ci.db")
    await database.open()
    writing = WriteLock(tmp_path / "ci.db")
    await writing.take()
    closing = asyncio.create_task(database.close())
    await until(lambda: database._writer is None, what="the beginning of the close")
    closing.cancel()
    writing.release()
    await asyncio.wait([closing])
    writing.close()
    assert closing.cancelled()
    await until(lambda: sqlite_threads() - before, lambda left: not left, "the end of its threads")
