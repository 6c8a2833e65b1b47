"""The SQLite database: one connection that writes, one that reads, and the schema."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from ci_common.completion import to_completion
from ci_common.errors import DatabaseError, DatabaseUnavailableError
from ci_persistence.database.errors import damaged, disk_full_told, explain
from ci_persistence.database.integrity import check_is_ours, find_damage
from ci_persistence.database.location import (
    check_location,
    check_restored,
    close_to_others,
    make_private,
    refused_by_system,
)
from ci_persistence.database.migrations import MIGRATIONS, statements
from ci_persistence.database.open_files import DatabaseFiles
from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.database.write_lock import WriteLock

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 15_000

JOURNAL_BYTES = 64 << 20
"""What the write-ahead log may keep of the disk, and beyond which readers are waited for."""

_CHECK_SECONDS = 5.0
"""What the check at the start may take: about 5 GB, when the file is in memory."""

_LOCK_SECONDS = 10.0
"""For so long a start waits for a restore or a repair to end."""

_CHECKPOINT_WAIT_MS = 1_000
_CHECKPOINT_PAUSE_SECONDS = 30.0

Parameters = Iterable[str | bytes | int | float | None]


class Database:
    """An open database of this product, migrated to the newest schema.

    Several processes may have the same one open. Within a process one connection writes, and
    one process at a time (WriteLock), so that writes, checkpoints and closing are serialised;
    `synchronous=FULL` makes every commit survive a power cut.
    """

    def __init__(self, path: Path, lock: DatabaseLock | None = None) -> None:
        self.path = path
        self.instance_id = ""
        """Names this database's workloads among those of others on the same engine."""
        self._lock = lock
        """Of somebody who has the database alone, and keeps it."""
        self._own_lock: DatabaseLock | None = None
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._write_lock = WriteLock(path)
        """Between processes."""
        self._turn = asyncio.Lock()
        """Between the tasks of this one."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._files = DatabaseFiles(path)
        self._journal = path.resolve().with_name(f"{path.resolve().name}-wal")
        self._checkpoint_at = 0.0

    async def open(self, *, migrate: bool = True) -> None:
        """Open, check, migrate, and learn who we are. Raises DatabaseError.

        Without `migrate` a database of an older schema is refused, so that a look at it does
        not change what an older program has open.
        """
        try:
            check_location(self.path)
            await self._share()
            check_restored(self.path)  # a restore that we waited for may have failed
            await self._open(migrate)
        except sqlite3.Error as error:
            await self.close()
            raise explain(self.path, error) from error
        except OSError as error:
            await self.close()
            raise refused_by_system(self.path, error) from error
        except BaseException:
            await self.close()
            raise
        logger.info("database %s, SQLite %s", self.path, sqlite3.sqlite_version)

    async def _open(self, migrate: bool) -> None:
        # Before anything is changed: it may be damaged, or not ours.
        make_private(self.path)
        await asyncio.to_thread(check_is_ours, self.path)
        close_to_others(self.path)
        await self._check_integrity()
        await self._write_lock.take()
        try:
            self._writer = await _connect(self.path)
            await self._writer.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
            self._reader = await _connect(self.path)
            await self._reader.execute("PRAGMA query_only=ON")
            await self._reader.execute("PRAGMA wal_autocheckpoint=0")
        finally:
            self._write_lock.release()
        await self._migrate(migrate)
        row = await self.fetch_one("SELECT instance_id FROM instance")
        if row is None:
            raise DatabaseError(f"the database {self.path} has no instance id; restore it")
        self.instance_id = str(row["instance_id"])
        self._files.remember()

    async def close(self) -> None:
        """Close both connections, also when cancelled; safe to repeat. The thread of an open
        connection keeps the process from ending.
        """
        await to_completion(self._close_all())

    async def _close_all(self) -> None:
        connections = [c for c in (self._reader, self._writer) if c is not None]
        self._reader = self._writer = None
        if connections:
            # The last one of all processes to close checkpoints, and removes the journal.
            async with self._turn:
                await self._close(connections)
        self._write_lock.close()
        self._files.forget()
        if self._own_lock is not None:
            self._own_lock.release()
            self._own_lock = None

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        """The first row of a query."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        if self._reader is None:
            raise DatabaseError("the database is closed")
        with self._files.readable():
            return list(await self._reader.execute_fetchall(sql, tuple(parameters)))

    async def write(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one statement as a transaction of its own and return its RETURNING rows.

        A lone statement takes the write lock at its start, so it cannot fail half-way the way
        a deferred transaction that turns from reading to writing can.
        """
        with self._files.usable():
            async with self._alone() as connection:
                with disk_full_told(self.path):
                    rows = list(await connection.execute_fetchall(sql, tuple(parameters)))
                await self._bound_journal(connection)
        return rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """A write transaction of several statements; rolled back when the body raises."""
        with self._files.usable():
            async with self._alone() as connection:
                await connection.execute("BEGIN IMMEDIATE")
                yield connection
                await connection.commit()
                await self._bound_journal(connection)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[aiosqlite.Connection]:
        """The connection that writes, while nobody else writes, checkpoints or closes. When the
        body raises, an open transaction is rolled back.
        """
        await self._turn.acquire()
        try:
            if self._writer is None:
                raise DatabaseError("the database is closed")
            await self._write_lock.take()
        except BaseException:
            self._turn.release()
            raise
        connection = self._writer
        try:
            yield connection
        except BaseException:
            # Also when cancelled during a statement, which its thread carries out all the same:
            # an open transaction would swallow whatever is written next, and other processes
            # must not write before it has ended. So this goes on when it is cancelled, too.
            leaving = asyncio.create_task(self._roll_back(connection))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.shield(leaving)
            raise
        self._leave()

    async def _roll_back(self, connection: aiosqlite.Connection) -> None:
        try:
            await connection.rollback()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._write_lock.release()
        self._turn.release()

    async def _share(self) -> None:
        """Join the processes that have the database open; wait for one that has it alone."""
        if self._lock is not None:
            return
        self._own_lock = DatabaseLock(self.path)
        deadline = time.monotonic() + _LOCK_SECONDS
        while not self._own_lock.try_share():
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"`ci-admin restore` or `ci-admin doctor --fix` is running on {self.path}; "
                    "start again when it has finished"
                )
            await asyncio.sleep(0.1)

    async def _close(self, connections: list[aiosqlite.Connection]) -> None:
        try:
            await self._write_lock.take()
        except (DatabaseUnavailableError, OSError) as error:
            # To end all the same is better than to hang; what is written stays so.
            logger.warning("closing %s without its lock: %s", self.path, error)
        try:
            for connection in connections:
                await connection.close()
        finally:
            self._write_lock.release()

    async def _check_integrity(self) -> None:
        problems = await asyncio.to_thread(
            find_damage, self.path, thorough=False, seconds=_CHECK_SECONDS
        )
        if problems is None:
            logger.warning(
                "database %s is too large to be checked whole in %g s; `ci-admin doctor` does",
                self.path,
                _CHECK_SECONDS,
            )
        elif problems:
            raise damaged(self.path, problems)

    async def _bound_journal(self, connection: aiosqlite.Connection) -> None:
        """Checkpoints wait for nobody, so that while readers overlap the journal only grows.
        Once it is large, wait for them a moment.
        """
        now = time.monotonic()
        if now < self._checkpoint_at or not _is_larger(self._journal, JOURNAL_BYTES):
            return
        self._checkpoint_at = now + _CHECKPOINT_PAUSE_SECONDS
        await connection.execute(f"PRAGMA busy_timeout={_CHECKPOINT_WAIT_MS}")
        try:
            await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            # What was to be written is written; this is only about room.
            logger.warning("the journal %s cannot be emptied now: %s", self._journal, error)
        finally:
            await connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    async def _migrate(self, allowed: bool) -> None:
        # IMMEDIATE first, then look: of several processes that start at once, one migrates.
        async with self.transaction() as connection:
            version = await _user_version(connection)
            if version > len(MIGRATIONS):
                raise DatabaseError(
                    f"the database {self.path} has schema {version}, this program knows "
                    f"{len(MIGRATIONS)}: it was written by a newer version; upgrade this program"
                )
            if version < len(MIGRATIONS) and not allowed:
                raise DatabaseError(
                    f"the database {self.path} has schema {version}, this program knows "
                    f"{len(MIGRATIONS)}: start the server of this version once, which migrates it"
                )
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                # executescript would commit the transaction, so the statements go one by one.
                for statement in statements(script):
                    await connection.execute(statement)
                await connection.execute(f"PRAGMA user_version={number}")
            # Something is written at every start, so that a full disk is told now.
            await connection.execute("UPDATE instance SET instance_id = instance_id")


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        await _prepare(connection, path)
    except BaseException:
        await connection.close()  # its thread would keep the process from ending
        raise
    return connection


async def _prepare(connection: aiosqlite.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    await connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    mode = await _journal_mode_wal(connection)
    if mode != "wal":
        raise DatabaseError(
            f"the database {path} cannot use write-ahead logging (SQLite answered {mode!r}); "
            "it must be on a local disk, not on a network file system"
        )
    await connection.execute("PRAGMA synchronous=FULL")
    await connection.execute("PRAGMA foreign_keys=ON")


async def _journal_mode_wal(connection: aiosqlite.Connection) -> str:
    # The switch to WAL needs the file alone for a moment, and SQLite does not always honour
    # the busy time-out there: with several workers starting at once it may have to be repeated.
    for attempt in range(50):
        try:
            rows = list(await connection.execute_fetchall("PRAGMA journal_mode=WAL"))
            return str(rows[0][0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 49:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("unreachable")


async def _user_version(connection: aiosqlite.Connection) -> int:
    rows = list(await connection.execute_fetchall("PRAGMA user_version"))
    return int(rows[0][0])


def _is_larger(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size > size
    except FileNotFoundError:
        return False
