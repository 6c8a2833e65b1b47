"""The lock that a process holds while it writes, checkpoints or closes a database."""

import asyncio
import fcntl
import logging
import os
import random
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ci_common.errors import DatabaseUnavailableError
from ci_persistence.database.lock_files import open_lock_file

logger = logging.getLogger(__name__)

WAIT_SECONDS = 15.0
"""For so long a writer waits for those of other processes, as it would for SQLite's own lock."""

_PAUSE_SECONDS = (0.0002, 0.001)
"""Between two attempts, at random."""


class WriteLock:
    """An advisory lock between the processes that have a database open.

    SQLite has locks of its own for this, but versions before 3.51.3 may corrupt a database when
    one process checkpoints while another writes (https://sqlite.org/wal.html#walresetbug). One
    lock over every write, checkpoint, open and close rules that out. Readers do not take it. The
    kernel releases it when the process ends. Not thread-safe.

    flock is not fair: a process that writes continuously would reacquire it before others retry.
    So a writer first takes a second lock, the queue, and releases that once it has the first.
    """

    def __init__(self, database: Path) -> None:
        self._database = database.resolve()
        self._queue = _FileLock(self._database, "queue-lock")
        self._lock = _FileLock(self._database, "write-lock")

    async def take(self) -> None:
        """Wait for the lock. Raises DatabaseUnavailableError."""
        with closing(self._attempts()) as attempts:
            for pause in attempts:
                await asyncio.sleep(pause)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a while, in a thread that may wait. Raises DatabaseUnavailableError."""
        with closing(self._attempts()) as attempts:
            for pause in attempts:
                time.sleep(pause)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let the next one write."""
        self._lock.release()

    def close(self) -> None:
        """Let go of the files; safe to repeat."""
        self._lock.close()
        self._queue.close()

    def _attempts(self) -> Generator[float, None, None]:
        """How long to wait before the next attempt, each time, until the lock is ours."""
        deadline = time.monotonic() + WAIT_SECONDS
        try:
            for lock in (self._queue, self._lock):
                while not lock.try_take():
                    if time.monotonic() > deadline:
                        raise self._waited()
                    yield random.uniform(*_PAUSE_SECONDS)  # noqa: S311
        finally:
            self._queue.release()

    def _waited(self) -> DatabaseUnavailableError:
        logger.error(
            "another process has been writing to %s for %g s: it may be stopped, or its disk does "
            "not answer; `fuser %s` names it",
            *(self._database, WAIT_SECONDS, self._lock.path),
        )
        return DatabaseUnavailableError(
            f"another process has been writing to the server's database for {WAIT_SECONDS:g} s; "
            "the server's log says what to do"
        )


class _FileLock:
    """A lock on a file beside the database. The file stays: removing it would make two of one."""

    def __init__(self, database: Path, suffix: str) -> None:
        self.path = database.with_name(f"{database.name}-{suffix}")
        self._database = database
        self._descriptor: int | None = None

    def try_take(self) -> bool:
        if self._descriptor is None:
            self._descriptor = open_lock_file(self.path, self._database)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if os.fstat(self._descriptor).st_nlink == 0:
            # Somebody removed the file, and others lock the one that was made after it.
            self.close()
            return False
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def read_only(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, for a thread of its own. Raises sqlite3.Error, and
    DatabaseUnavailableError.

    The first look may recover the journal, and closing may checkpoint and remove it, so both are
    done under the lock; what is read between is not. A transaction that the body left open is
    ended before: whoever has the lock may wait for it, to turn write-ahead logging on.
    """
    lock = WriteLock(database)
    try:
        connection = sqlite3.connect(database, isolation_level=None)  # opens nothing yet
        try:
            with lock.held():
                connection.execute("PRAGMA busy_timeout=15000")
                connection.execute("PRAGMA query_only=ON")
                connection.execute("PRAGMA schema_version").fetchall()
            yield connection
        finally:
            connection.rollback()
            try:
                with lock.held():
                    connection.close()
            finally:
                connection.close()  # also without the lock: better than to leave it open
    finally:
        lock.close()
