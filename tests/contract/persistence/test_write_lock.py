"""One process at a time writes, checkpoints, opens or closes a database."""

import ast
import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, closing, suppress

import pytest

from ci_common.errors import DatabaseUnavailableError
from ci_persistence.database import database as database_module
from ci_persistence.database import write_lock as write_lock_module
from ci_persistence.database.database import Database
from ci_persistence.database.write_lock import WriteLock, read_only
from support.instances import ROOT
from support.sqlite_lock_spy import SqliteLockSpy
from support.waiting import until

pytestmark = pytest.mark.anyio

LONG = (
    "INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 1500000) SELECT max(i) FROM n"
)

HOLD = """
import sys, time
from pathlib import Path
from ci_persistence.database.write_lock import WriteLock
lock = WriteLock(Path(sys.argv[1]))
with lock.held():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
async def database(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    await database.write("CREATE TABLE filler (content)")
    yield database
    await database.close()


@pytest.fixture
def other(tmp_path):
    """The lock as another process has it."""
    lock = WriteLock(tmp_path / "ci.db")
    yield lock
    lock.close()


@asynccontextmanager
async def another_open(path):
    other = Database(path)
    await other.open()
    try:
        yield other
    finally:
        await other.close()


async def write(database):
    await database.write("INSERT INTO filler VALUES ('one')")


async def transact(database):
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO filler VALUES ('one')")


async def close(database):
    await database.close()


async def open_another(database):
    async with another_open(database.path):
        pass


async def look(database):
    def read():
        with read_only(database.path) as connection:
            connection.execute("SELECT count(*) FROM filler").fetchall()

    await asyncio.to_thread(read)


# ---------------------------------------------------------------------- who waits


@pytest.mark.parametrize("act", [write, transact, close, open_another, look])
async def test_while_another_process_holds_it_this_waits(database, other, act):
    await other.take()
    acting = asyncio.create_task(act(database))
    done, _ = await asyncio.wait([acting], timeout=0.3)
    assert not done
    other.release()
    await acting


async def test_readers_do_not_wait(database, other):
    await other.take()
    assert await database.fetch_all("SELECT count(*) FROM filler")


@pytest.mark.parametrize("act", [write, transact, open_another, look])
async def test_who_waits_too_long_is_told_why(database, other, act, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(write_lock_module, "WAIT_SECONDS", 0.05)
    await other.take()
    with pytest.raises(DatabaseUnavailableError, match="another process") as refusal:
        await act(database)
    assert str(tmp_path) not in refusal.value.message, "clients are not told paths"
    assert f"fuser {database.path}-write-lock" in caplog.text
    other.release()
    await act(database)


async def test_closing_does_not_hang_for_a_process_that_is_stopped(
    database, other, monkeypatch, caplog
):
    monkeypatch.setattr(write_lock_module, "WAIT_SECONDS", 0.05)
    await other.take()
    await database.close()
    assert "without its lock" in caplog.text


async def test_tasks_of_one_process_take_turns(database):
    await asyncio.gather(*(write(database) for _ in range(50)), *(transact(database) for _ in "ab"))
    assert (await database.fetch_all("SELECT count(*) FROM filler"))[0][0] == 52


BUSY = """
import asyncio, sys
from pathlib import Path
from ci_persistence.database.database import Database

async def work(path):
    database = Database(path)
    await database.open()
    print("busy", flush=True)
    while True:
        await database.write("UPDATE filler SET content = 1")

asyncio.run(work(Path(sys.argv[1])))
"""


async def test_a_process_that_writes_all_the_time_leaves_room_for_others(database, monkeypatch):
    monkeypatch.setattr(write_lock_module, "WAIT_SECONDS", 5.0)
    command = [sys.executable, "-c", BUSY, str(database.path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert await process.stdout.readline() == b"busy\n"
        for _ in range(20):
            await write(database)
    finally:
        process.kill()
        await process.wait()


async def test_who_gives_up_does_not_keep_its_place(database, other):
    third = WriteLock(database.path)
    await other.take()
    waiting = asyncio.create_task(third.take())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    waiting.cancel()
    await asyncio.wait([waiting])
    other.release()
    await write(database)
    third.close()


async def test_who_waits_to_close_does_not_keep_the_other_from_turning_on_wal(tmp_path):
    """As when two processes start at once on a new database."""
    path = tmp_path / "new.db"
    has_read, may_close = threading.Event(), threading.Event()

    def read():
        with read_only(path) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT name FROM sqlite_schema").fetchall()
            has_read.set()
            may_close.wait(60)

    def turn_on_wal():
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            return connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]

    other = WriteLock(path)
    reading = asyncio.create_task(asyncio.to_thread(read))
    await asyncio.to_thread(has_read.wait, 60)
    await other.take()
    turning = asyncio.create_task(asyncio.to_thread(turn_on_wal))
    may_close.set()
    assert await turning == "wal"
    other.close()
    await reading


async def test_who_cannot_close_under_the_lock_closes_all_the_same(database, other, monkeypatch):
    monkeypatch.setattr(write_lock_module, "WAIT_SECONDS", 0.05)

    def read():
        with pytest.raises(DatabaseUnavailableError), read_only(database.path) as connection:
            assert list(other._attempts()) == [], "it was free"
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")

    await asyncio.to_thread(read)


# ---------------------------------------------------------------------- when it ends


async def fail(database):
    await database.write("INSERT INTO nowhere VALUES (1)")


async def fail_inside(database):
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO filler VALUES ('lost')")
        raise RuntimeError


@pytest.mark.parametrize("act", [fail, fail_inside])
async def test_a_failure_gives_it_back(database, other, act):
    with pytest.raises((sqlite3.OperationalError, RuntimeError)):
        await act(database)
    await other.take()
    assert (await database.fetch_all("SELECT count(*) FROM filler"))[0][0] == 0


async def long_write(database):
    await database.write(LONG)


async def long_transaction(database):
    async with database.transaction() as connection:
        await connection.execute(LONG)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("act", [long_write, long_transaction])
async def test_a_cancelled_write_keeps_it_until_its_thread_has_ended(database, other, act, times):
    writing = asyncio.create_task(act(database))
    await until(lambda: _is_writing(database.path), what="the statement")
    for _ in range(times):
        writing.cancel()
        await asyncio.sleep(0.001)
    await other.take()
    assert not _is_writing(database.path)
    other.release()
    with suppress(asyncio.CancelledError):
        await writing
    await write(database)


def _is_writing(path):
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


async def test_a_process_that_was_killed_holds_nothing(database):
    command = [sys.executable, "-c", HOLD, str(database.path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert await process.stdout.readline() == b"held\n"
    writing = asyncio.create_task(write(database))
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    process.kill()
    await process.wait()
    await writing


async def test_a_lock_file_that_was_removed_excludes_all_the_same(database, other):
    await write(database)
    for name in ("write-lock", "queue-lock"):
        (database.path.parent / f"ci.db-{name}").unlink()
    await other.take()
    writing = asyncio.create_task(write(database))
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    other.release()
    await writing


async def test_through_a_link(database, tmp_path):
    (tmp_path / "link.db").symlink_to(database.path)
    link = WriteLock(tmp_path / "link.db")
    await link.take()
    writing = asyncio.create_task(write(database))
    done, _ = await asyncio.wait([writing], timeout=0.1)
    assert not done
    link.close()
    await writing


# ---------------------------------------------------------------------- nobody goes past it


def _connections(path):
    """Where a module opens SQLite files."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr="connect")):
                if module in ("sqlite3", "aiosqlite"):
                    yield module


def test_databases_are_opened_in_two_places_only():
    """The copies of a backup or a restore have no other process, nor has a catalogue's draft."""
    found = {
        (path.relative_to(ROOT).as_posix(), module)
        for package in ROOT.glob("ci_*")
        for path in package.rglob("*.py")
        for module in _connections(path)
    }
    assert found == {
        ("ci_persistence/database/database.py", "aiosqlite"),
        ("ci_persistence/database/write_lock.py", "sqlite3"),
        ("ci_persistence/backup/backup.py", "sqlite3"),
        ("ci_persistence/backup/restore.py", "sqlite3"),
        ("ci_persistence/sqlite/catalogue_draft.py", "sqlite3"),
    }


WORK = """
import asyncio, sys
from pathlib import Path
from ci_persistence.database import database as module
from ci_persistence.database.integrity import find_damage

module.JOURNAL_BYTES = 1 << 16
module._CHECKPOINT_PAUSE_SECONDS = 0.0

async def work(path):
    for _ in range(5):
        database = module.Database(path)
        await database.open()
        for _ in range(10):
            await database.write("INSERT INTO filler VALUES (?)", ("x" * 5000,))
            async with database.transaction() as connection:
                await connection.execute("UPDATE filler SET content = ? WHERE rowid = 1", ("y",))
        await database.close()
        assert await asyncio.to_thread(find_damage, path, thorough=False) == []

asyncio.run(work(Path(sys.argv[1])))
"""

PLAIN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO filler VALUES (1)")
connection.commit()
"""


async def test_sqlites_own_locks_are_only_taken_under_ours(database, tmp_path):
    """Seen from below: at every call by which SQLite locks the file for a write or a checkpoint,
    in processes that open, write, checkpoint, look and close at random moments.
    """
    spy = SqliteLockSpy(database.path, tmp_path)
    environment = {**os.environ, **spy.environment}
    await database.close()
    command = [sys.executable, "-c", WORK, str(database.path)]
    workers = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment) for _ in range(4)
    ]
    assert [await worker.wait() for worker in workers] == [0] * 4
    assert len(spy.processes()) == 4
    kinds = {kind for _, kind, _ in spy.notes()}
    assert kinds == {"write", "checkpoint"}
    assert not spy.outside()


async def test_the_spy_sees_who_goes_past_the_lock(database, tmp_path):
    spy = SqliteLockSpy(database.path, tmp_path)
    environment = {**os.environ, **spy.environment}
    command = [sys.executable, "-c", PLAIN, str(database.path)]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    assert await process.wait() == 0
    assert spy.outside()["write"] == 1


def test_the_wait_is_that_of_sqlites_own_lock():
    assert write_lock_module.WAIT_SECONDS * 1000 == database_module.BUSY_TIMEOUT_MS
