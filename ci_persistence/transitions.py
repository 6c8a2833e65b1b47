"""The controller's side of the rows (port JobTransitions): guarded, fenced moves."""

from datetime import datetime

from ci_common.job import Job, JobStatus, Outcome, format_time, sources_of
from ci_common.ports import JobSignals
from ci_persistence.database import Database
from ci_persistence.job_rows import COLUMNS, LIVE, fetch_job, from_row


class SqliteJobTransitions:
    """Moves jobs for the process that holds the lease as `holder`."""

    def __init__(self, database: Database, signals: JobSignals, holder: str) -> None:
        self._database = database
        self._signals = signals
        self._holder = holder

    async def active(self) -> list[Job]:
        """See JobTransitions."""
        rows = await self._database.fetch_all(
            f"SELECT {COLUMNS} FROM jobs WHERE status IN {LIVE} ORDER BY seq"  # noqa: S608
        )
        return [from_row(row) for row in rows]

    async def get(self, job_id: str) -> Job | None:
        """See JobTransitions."""
        return await fetch_job(self._database, job_id)

    async def claim(self, job_id: str) -> bool:
        """See JobTransitions."""
        return await self._move(job_id, JobStatus.INITIALIZING, {})

    async def mark_running(self, job_id: str, at: datetime) -> bool:
        """See JobTransitions."""
        return await self._move(job_id, JobStatus.RUNNING, {"started_at": format_time(at)})

    async def finish(self, job_id: str, outcome: Outcome, log_size: int, at: datetime) -> bool:
        """See JobTransitions."""
        return await self._move(
            job_id,
            outcome.status,
            {
                "ended_at": format_time(at),
                "reason": outcome.reason.value,
                "message": outcome.message,
                "exit_code": outcome.exit_code,
                "log_size": log_size,
            },
        )

    async def _move(
        self, job_id: str, target: JobStatus, facts: dict[str, str | int | None]
    ) -> bool:
        sources = sources_of(target)
        changes = "".join(f", {column} = ?" for column in facts)
        rows = await self._database.write(
            f"UPDATE jobs SET status = ?{changes} WHERE job_id = ? "  # noqa: S608 - constants
            f"AND status IN ({', '.join('?' * len(sources))}) "
            "AND EXISTS (SELECT 1 FROM controller_lease WHERE holder = ?) RETURNING job_id",
            (target.value, *facts.values(), job_id, *sources, self._holder),
        )
        if rows:
            self._signals.notify(job_id)
        return bool(rows)
