"""The controller lease (port ControllerLease): one row that one process holds."""

from datetime import datetime, timedelta

from ci_common.job import format_time
from ci_persistence.database import Database


class SqliteControllerLease:
    """Whoever's name is in the row, and not expired, reconciles.

    The holder's name is new for every process, so it is also the fencing token: transitions
    check it in their own UPDATE, and an old holder that wakes up late changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder: str | None = None

    async def acquire(self, holder: str, now: datetime, ttl_seconds: float) -> bool:
        """See ControllerLease."""
        expires = format_time(now + timedelta(seconds=ttl_seconds))
        moment = format_time(now)
        rows = await self._database.write(
            "UPDATE controller_lease SET engine_error = "
            "CASE WHEN holder = ?1 THEN engine_error END, holder = ?1, expires_at = ?2, "
            "heartbeat_at = ?3 WHERE holder IS NULL OR holder = ?1 OR expires_at < ?3 RETURNING id",
            (holder, expires, moment),
        )
        self._holder = holder if rows else None
        return bool(rows)

    async def report_engine(self, error: str | None) -> None:
        """See ControllerLease."""
        await self._database.write(
            "UPDATE controller_lease SET engine_error = ? WHERE holder = ?", (error, self._holder)
        )

    async def release(self, holder: str) -> None:
        """See ControllerLease."""
        await self._database.write(
            "UPDATE controller_lease SET holder = NULL, expires_at = NULL WHERE holder = ?",
            (holder,),
        )
