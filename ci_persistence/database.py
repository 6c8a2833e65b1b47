"""The SQLite database: one connection that writes, one that reads, and the schema."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from ci_common.errors import DatabaseError
from ci_persistence.migrations import MIGRATIONS

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 15_000

Parameters = Iterable[str | int | float | None]


class Database:
    """An open database of this product, migrated to the newest schema.

    Several processes may have the same one open. Within a process one connection writes, so
    that writers and checkpoints are serialised, and `synchronous=FULL` makes every commit
    survive a power cut.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.instance_id = ""
        """Names this database's workloads among those of others on the same engine."""
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._write_lock = asyncio.Lock()

    async def open(self) -> None:
        """Open, migrate, and learn who we are. Raises DatabaseError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Here a file that cannot be opened leaves no thread that ends after its event loop.
            sqlite3.connect(self.path).close()
            self._writer = await _connect(self.path)
            await self._migrate()
            self._reader = await _connect(self.path)
            await self._reader.execute("PRAGMA query_only=ON")
            row = await self.fetch_one("SELECT instance_id FROM instance")
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise DatabaseError(
                f"cannot use the database {self.path}: {error}. It must be a SQLite file of this "
                "product, or no file yet, on a local disk this user may write to (CI_DB_PATH)."
            ) from error
        except DatabaseError:
            await self.close()
            raise
        assert row is not None  # noqa: S101 - the first migration inserts it
        self.instance_id = str(row["instance_id"])
        logger.info("database %s, SQLite %s", self.path, sqlite3.sqlite_version)

    async def close(self) -> None:
        """Close both connections; safe to repeat."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                await connection.close()
        self._reader = self._writer = None

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        """The first row of a query."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        if self._reader is None:
            raise DatabaseError("the database is closed")
        return list(await self._reader.execute_fetchall(sql, tuple(parameters)))

    async def write(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run one statement as a transaction of its own and return its RETURNING rows.

        A lone statement takes the write lock at its start, so it cannot fail half-way the way
        a deferred transaction that turns from reading to writing can.
        """
        if self._writer is None:
            raise DatabaseError("the database is closed")
        async with self._write_lock:
            return list(await self._writer.execute_fetchall(sql, tuple(parameters)))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """A write transaction of several statements; rolled back when the body raises."""
        if self._writer is None:
            raise DatabaseError("the database is closed")
        async with self._write_lock:
            connection = self._writer
            try:
                await connection.execute("BEGIN IMMEDIATE")
                yield connection
                await connection.commit()
            except BaseException:
                # Also when cancelled during one of these, which its thread carries out all the
                # same: left open, the transaction would swallow whatever is written next.
                await asyncio.shield(connection.rollback())
                raise

    async def _migrate(self) -> None:
        # IMMEDIATE first, then look: of several processes that start at once, one migrates.
        async with self.transaction() as connection:
            version = await _user_version(connection)
            if version > len(MIGRATIONS):
                raise DatabaseError(
                    f"the database {self.path} has schema {version}, this program knows "
                    f"{len(MIGRATIONS)}: it was written by a newer version; upgrade this program"
                )
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                # executescript would commit the transaction, so the statements go one by one.
                for statement in script.split(";"):
                    if statement.strip():
                        await connection.execute(statement)
                await connection.execute(f"PRAGMA user_version={number}")


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        await _prepare(connection, path)
    except BaseException:
        await connection.close()  # or its thread would keep the process from ending
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
