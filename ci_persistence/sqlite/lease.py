"""The controller lease (port ControllerLease): one row that one process holds."""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from typing_extensions import override

from ci_common.completion import on_thread
from ci_common.job import format_time
from ci_common.ports.rows import ControllerLease
from ci_persistence.database.database import Database
from ci_persistence.database.lock_files import open_lock_file
from ci_persistence.files.durable import sync_directory

logger = logging.getLogger(__name__)

_Lease = tuple[str, str]
"""Its holder, and when it runs out."""

HOLDS_LEASE = "EXISTS (SELECT 1 FROM controller_lease WHERE holder = ?)"
"""The condition that fences whatever only the controller may change."""


async def end_of_lease(database: Database) -> str | None:
    """When the present lease ends, or ended, as it is in the row: in the form of `format_time`,
    unless something else wrote it. `None` when nobody has it.
    """
    row = await database.fetch_one(
        "SELECT expires_at FROM controller_lease WHERE holder IS NOT NULL"
    )
    return str(row["expires_at"]) if row else None


async def release_ended_lease(database: Database, now: datetime) -> None:
    """Release a lease whose holder died without doing so; not one that is in force."""
    await database.write(
        "UPDATE controller_lease SET holder = NULL, expires_at = NULL WHERE expires_at < ?",
        (format_time(now),),
    )


class SqliteControllerLease(ControllerLease):
    """Whoever's name is in the row, and not expired, reconciles.

    The holder's name is new for every process, so it is also the fencing token: transitions
    check it in their own UPDATE, and an old holder that wakes up late changes nothing.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._watched: tuple[_Lease, float] | None = None
        """The lease of another holder as it was last seen, and since when it is so."""
        self._holder: str | None = None
        self._lock = ProcessLock(database.path)

    @override
    async def acquire(self, holder: str, now: datetime, ttl_seconds: float) -> int | None:
        expires = format_time(now + timedelta(seconds=ttl_seconds))
        moment = format_time(now)
        # The lock ends with its process: when it can be had, whoever held the lease with it is
        # dead, and need not be waited for. A holder that is only paused keeps the lock, and
        # loses the lease all the same when that runs out.
        self._lock.try_take()
        stale = None if self._holder == holder else await self._stale(now, ttl_seconds)
        rows = await self._database.write(
            "UPDATE controller_lease SET "
            "epoch = CASE WHEN holder = ?1 THEN epoch ELSE epoch + 1 END, "
            "engine_error = CASE WHEN holder = ?1 THEN engine_error END, "
            "holder = ?1, expires_at = ?2, heartbeat_at = ?3 "
            "WHERE holder = ?1 OR NOT ?4 AND "
            "(holder IS NULL OR holder = ?5 OR holder = ?6 AND expires_at = ?7) RETURNING epoch",
            (
                *(holder, expires, moment, self._holder == holder, self._lock.former),
                *(stale or (None, None)),
            ),
        )
        self._holder = holder if rows else None
        if not rows:
            return None
        await on_thread(self._lock.sign, holder)  # else the file could be closed during the write
        return int(rows[0]["epoch"])

    async def _stale(self, now: datetime, ttl_seconds: float) -> _Lease | None:
        """The lease of another holder that has run out.

        The wall clock may have been set, so it is believed only at the first sight. From then on
        a lease has run out that has not changed for as long as it is good for.
        """
        row = await self._database.fetch_one("SELECT holder, expires_at FROM controller_lease")
        if row is None or row["holder"] is None:
            self._watched = None
            return None
        seen, at = (str(row["holder"]), str(row["expires_at"])), self._clock()
        if self._watched is None:
            self._watched = (seen, at)
            return seen if seen[1] < str(format_time(now)) else None
        if self._watched[0] != seen:
            self._watched = (seen, at)
        return seen if at > self._watched[1] + ttl_seconds else None

    @override
    async def report_engine(self, error: str | None) -> None:
        await self._database.write(
            "UPDATE controller_lease SET engine_error = ? WHERE holder = ?", (error, self._holder)
        )

    @override
    async def release(self, holder: str) -> None:
        await self._database.write(
            "UPDATE controller_lease SET holder = NULL, expires_at = NULL WHERE holder = ?",
            (holder,),
        )
        self._lock.release()


class ProcessLock:
    """An advisory lock on a file, which the kernel releases when the process ends; in the file
    is the name of who last held the lease along with it.
    """

    def __init__(self, database: Path) -> None:
        self._database = database.resolve()
        self._path = self._database.with_name(f"{self._database.name}-controller")
        self._descriptor: int | None = None
        self._signed: str | None = None
        self._refused = False
        self.former: str | None = None
        """A holder that is dead, or has let go; known once the lock is ours."""

    @property
    def exists(self) -> bool:
        """Whether any process ever had the lock."""
        return self._path.exists()

    def try_take(self) -> None:
        """Take the lock when nobody has it."""
        if self._descriptor is not None:
            return
        try:
            descriptor = open_lock_file(self._path, self._database)
        except PermissionError:
            # The lease works without: a holder that was killed is then waited for.
            if not self._refused:
                logger.warning("%s cannot be opened; give it the database's owner", self._path)
            self._refused = True
            return
        except OSError:
            return  # the database's directory is gone: the write that follows tells
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return
        self._descriptor = descriptor
        self.former = os.pread(descriptor, 256, 0).decode(errors="replace")

    def sign(self, holder: str) -> None:
        """Write down who holds the lease, when the lock is ours, too; durably, so that the holder
        is known to be dead after a power cut as well.
        """
        if self._descriptor is not None and self._signed != holder:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder.encode(), 0)
            os.fsync(self._descriptor)
            sync_directory(self._path.parent)
            self._signed = holder

    def release(self) -> None:
        """Let go; safe to repeat."""
        descriptor, self._descriptor, self._signed = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)


def is_dead(holder: str, database: Path) -> bool:
    """Whether the process that held the lease is known to have ended, whatever the row says."""
    lock = ProcessLock(database)
    try:
        # Without a lock file, as in the first version, nothing is known.
        if not lock.exists:
            return False
        lock.try_take()
        return lock.former == holder
    finally:
        lock.release()
