"""What a database does when it is opened: what is refused, and with which words."""

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from ci_common.errors import DatabaseError
from ci_persistence.database import database as database_module
from ci_persistence.database.database import Database
from ci_persistence.database.errors import explain
from ci_persistence.database.integrity import find_damage
from ci_persistence.database.location import check_location, check_place, restoring_mark
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.database.open_lock import DatabaseLock
from support.instances import ROOT
from support.mounts import run_on_tmpfs

pytestmark = pytest.mark.anyio

OPEN = """
import asyncio, sys
from pathlib import Path
from ci_common.errors import DatabaseError
from ci_persistence.database.database import Database

async def main():
    database = Database(Path(sys.argv[1]))
    try:
        await database.open()
    except DatabaseError as error:
        sys.exit(f"refused: {error.message}")
    await database.close()
    print("opened")

asyncio.run(main())
"""


async def refusal(path):
    with pytest.raises(DatabaseError) as caught:
        await Database(path).open()
    return caught.value.message


async def make(path):
    database = Database(path)
    await database.open()
    await database.close()
    return path


# ---------------------------------------------------------------------- what the file is


async def test_an_empty_file_is_fine(tmp_path):
    path = tmp_path / "ci.db"
    path.touch()
    await make(path)


async def test_the_directory_is_made(tmp_path):
    await make(tmp_path / "a" / "b" / "ci.db")


async def test_a_directory(tmp_path):
    assert "is a directory, not a database: name a file in it" in await refusal(tmp_path)


async def test_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    message = await refusal(tmp_path / "file" / "ci.db")
    assert "a part of its path is a file" in message


async def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "ci.db"
    path.write_text("These are notes, and many of them.\n" * 100)
    before = path.read_bytes()
    message = await refusal(path)
    assert "is not a SQLite database" in message
    assert "CI_DB_PATH" in message
    assert path.read_bytes() == before


async def test_the_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "ci.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    message = await refusal(path)
    assert "another program" in message
    assert "bookmarks" in message
    assert path.read_bytes() == before


async def test_another_programs_database_with_a_version(tmp_path):
    path = tmp_path / "ci.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("PRAGMA user_version=1")
    assert "another program" in await refusal(path)


async def test_a_newer_schema(tmp_path):
    path = await make(tmp_path / "ci.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    message = await refusal(path)
    assert f"has schema {len(MIGRATIONS) + 1}, this program knows {len(MIGRATIONS)}" in message
    assert "upgrade this program" in message


@pytest.mark.parametrize("page", [0, 1, 2, 5])
async def test_a_damaged_database(tmp_path, page):
    path = await make(tmp_path / "ci.db")
    with path.open("r+b") as file:
        file.seek(page * 4096 + (100 if page == 0 else 0))
        file.write(b"\xff" * 3000)
    message = await refusal(path)
    assert "damaged" in message
    assert "ci-admin restore --force FILE" in message


def test_a_refused_database_leaves_no_thread_and_no_lock(tmp_path):
    path = tmp_path / "ci.db"
    path.write_text("no database " * 100)
    command = [sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120
    )
    assert b"refused: " in done.stderr
    lock = DatabaseLock(path)
    assert lock.try_alone()
    lock.release()


async def test_a_restore_that_was_cut_off(tmp_path):
    path = await make(tmp_path / "ci.db")
    restoring_mark(path).touch()
    assert "a restore of" in await refusal(path)
    restoring_mark(path).unlink()
    await make(path)


# ---------------------------------------------------------------------- the check of the file


async def test_a_check_that_takes_too_long_is_given_up_and_told(tmp_path, monkeypatch, caplog):
    path = await make(tmp_path / "ci.db")
    monkeypatch.setattr(database_module, "_CHECK_SECONDS", 1e-9)
    monkeypatch.setattr("ci_persistence.database.integrity._INSTRUCTIONS_BETWEEN_LOOKS", 1)
    with caplog.at_level(logging.WARNING):
        await make(path)
    assert "too large to be checked whole" in caplog.text


async def test_an_index_that_lacks_rows_is_found_by_the_thorough_check(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        connection.execute("CREATE INDEX i ON t (b)")
        connection.execute("INSERT INTO t VALUES (1, 'x')")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t (a)' WHERE name = 'i'"
        )
    problems = await asyncio.to_thread(find_damage, path, thorough=True)
    assert problems


# ---------------------------------------------------------------------- where it is


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
async def test_a_network_file_system(tmp_path, kind):
    table = tmp_path / "mounts"
    table.write_text(f"server:/x {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(DatabaseError, match="network file system") as caught:
        check_location(tmp_path / "ci.db", table)
    assert f"({kind} at {tmp_path})" in caught.value.message
    assert "CI_DB_PATH" in caught.value.message
    assert not (tmp_path / "ci.db").exists()


async def test_a_read_only_mount_of_the_table(tmp_path):
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 {tmp_path} ext4 ro 0 0\n")
    with pytest.raises(DatabaseError, match="mounted read-only"):
        check_place(tmp_path / "ci.db", table)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_files_that_this_user_may_not_write(tmp_path, monkeypatch, suffix):
    path = await make(tmp_path / "ci.db")
    side = path.with_name(f"ci.db{suffix}")
    side.touch()
    allowed = os.access
    # Root may write anything, so that modes would refuse nothing here.
    monkeypatch.setattr(os, "access", lambda file, mode: file != side and allowed(file, mode))
    message = await refusal(path)
    assert f"{side} is read-only for this user" in message
    assert "owner" in message


async def test_a_directory_that_this_user_may_not_write(tmp_path, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda file, mode: file != tmp_path and allowed(file, mode))
    assert "is not writable for this user" in await refusal(tmp_path / "ci.db")


def on_tmpfs(tmp_path, size, shell):
    place = tmp_path / "small"
    script = tmp_path / "open.py"
    script.write_text(OPEN)
    open_it = f'"$PYTHON" {script} {place}/ci.db'
    return run_on_tmpfs(place, size, shell.replace("OPEN", open_it))


FILL = "dd if=/dev/zero of=fill bs=4k 2>/dev/null || true"


async def test_a_disk_that_is_read_only(tmp_path):
    done = on_tmpfs(tmp_path, "2m", "OPEN; mount -o remount,ro .; OPEN")
    assert done.stdout == "opened\n"
    assert "mounted read-only" in done.stderr


async def test_a_full_disk_and_a_new_database(tmp_path):
    done = on_tmpfs(tmp_path, "2m", f"{FILL}; OPEN")
    assert "refused: the disk of the database" in done.stderr
    assert "is full" in done.stderr


async def test_a_full_disk_and_a_database_with_jobs(tmp_path):
    done = on_tmpfs(tmp_path, "2m", f"OPEN; {FILL}; OPEN")
    assert done.stdout == "opened\n"
    assert "is full" in done.stderr


async def test_space_that_came_back(tmp_path):
    done = on_tmpfs(tmp_path, "2m", f"OPEN; {FILL}; OPEN || rm fill; OPEN")
    assert done.stdout == "opened\n" * 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "is full"),
        (sqlite3.SQLITE_IOERR_READ, "the disk reported an error"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "cannot be written"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another program keeps it locked"),
        (sqlite3.SQLITE_CORRUPT_VTAB, "damaged"),
        (sqlite3.SQLITE_NOTADB, "not a SQLite database"),
        (sqlite3.SQLITE_ERROR, "on a local disk this user may write to"),
    ],
)
async def test_what_sqlites_errors_mean(tmp_path, code, words):
    error = sqlite3.OperationalError("the library's words")
    error.sqlite_errorcode = code
    assert words in explain(tmp_path / "ci.db", error).message


# ---------------------------------------------------------------------- who else has it


async def test_while_somebody_has_it_alone_a_start_waits_and_then_refuses(tmp_path, monkeypatch):
    path = await make(tmp_path / "ci.db")
    monkeypatch.setattr(database_module, "_LOCK_SECONDS", 0.2)
    lock = DatabaseLock(path)
    assert lock.try_alone()
    assert "ci-admin restore" in await refusal(path)
    monkeypatch.setattr(database_module, "_LOCK_SECONDS", 20)
    opening = asyncio.create_task(make(path))
    await asyncio.sleep(0)
    lock.release()
    await opening


async def test_a_start_that_waits_for_a_restore_that_is_cut_off(tmp_path):
    path = await make(tmp_path / "ci.db")
    lock = DatabaseLock(path)
    assert lock.try_alone()
    opening = asyncio.create_task(refusal(path))
    await asyncio.sleep(0)
    restoring_mark(path).touch()
    lock.release()
    assert "a restore of" in await opening


async def test_of_two_who_share_none_has_it_alone(tmp_path):
    first, second = DatabaseLock(tmp_path / "ci.db"), DatabaseLock(tmp_path / "ci.db")
    assert first.try_share()
    assert second.try_share()
    assert not first.try_alone()
    second.release()
    assert first.try_alone()
    assert not second.try_share()
    first.release()
    assert second.try_alone()
    second.release()


async def test_a_link_to_a_database_is_the_same_database(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "ci.db")
    first, second = DatabaseLock(tmp_path / "ci.db"), DatabaseLock(tmp_path / "link.db")
    assert first.try_alone()
    assert not second.try_share()
    first.release()


async def test_the_version_is_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        await make(tmp_path / "ci.db")
    assert f"SQLite {sqlite3.sqlite_version}" in caplog.text


# ---------------------------------------------------------------------- the journal


async def test_the_journal_does_not_outgrow_its_bound_for_readers_that_overlap(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(database_module, "JOURNAL_BYTES", 1 << 20)
    monkeypatch.setattr(database_module, "_CHECKPOINT_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(database_module, "_CHECKPOINT_WAIT_MS", 1)
    path = tmp_path / "ci.db"
    journal = tmp_path / "ci.db-wal"
    database = Database(path)
    await database.open()
    await database.write("CREATE TABLE filler (content TEXT)")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM filler").fetchall()
        for _ in range(30):
            await database.write("INSERT INTO filler VALUES (?)", ("x" * 100_000,))
        assert journal.stat().st_size > 1 << 20  # it has to wait for the reader
        reader.execute("COMMIT")
    await database.write("INSERT INTO filler VALUES ('last')")
    assert journal.stat().st_size <= 1 << 20
    assert (await database.fetch_all("SELECT count(*) FROM filler"))[0][0] == 31
    await database.close()


async def test_only_the_writer_checkpoints(tmp_path):
    database = Database(tmp_path / "ci.db")
    await database.open()
    assert (await database.fetch_all("PRAGMA wal_autocheckpoint"))[0][0] == 0
    assert (await database.fetch_all("PRAGMA query_only"))[0][0] == 1
    await database.close()
