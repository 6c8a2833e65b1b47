"""The controller's side of the rows (port JobTransitions): guarded, fenced moves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from sqlite3 import Row

from typing_extensions import override

from ci_common.job import Job, JobStatus, format_time, sources_of
from ci_common.launch_step import LaunchStep
from ci_common.ports.rows import Ending, JobTransitions, ProgressReport
from ci_common.ports.signals import JobSignals
from ci_common.progress import Progress
from ci_persistence.database.database import Database
from ci_persistence.database.errors import disk_full_told
from ci_persistence.sqlite.job_details import add_details
from ci_persistence.sqlite.job_rows import (
    ARTIFACT_COLUMNS,
    COLUMNS,
    LIVE,
    artifact_to_row,
    coverage_to_json,
    fetch_job,
    from_row,
    log_dropped_to_row,
    tests_to_json,
)
from ci_persistence.sqlite.lease import HOLDS_LEASE

_LAST_REPORT = (
    "SELECT facts FROM job_events WHERE job_id = ? AND kind = 'progress' ORDER BY seq DESC LIMIT 1"
)
_REPORT = (
    "INSERT INTO job_events (job_id, tenant, user, kind, at, facts) "  # noqa: S608 - constants
    "SELECT job_id, tenant, user, 'progress', :at, :facts FROM jobs "
    "WHERE job_id = :job_id AND attempt = :attempt AND status = 'running' AND NOT EXISTS "
    "(SELECT 1 FROM job_events AS told WHERE told.job_id = :job_id AND told.kind = 'progress' "
    f"AND told.facts = :facts) AND {HOLDS_LEASE.replace('?', ':holder')}"
)


class SqliteJobTransitions(JobTransitions):
    """Moves jobs for the process that holds the lease as `holder`."""

    def __init__(self, database: Database, signals: JobSignals, holder: str) -> None:
        self._database = database
        self._signals = signals
        self._holder = holder

    @override
    async def active(self) -> list[Job]:
        rows = await self._database.fetch_all(
            f"SELECT {COLUMNS} FROM jobs WHERE status IN {LIVE} ORDER BY seq"  # noqa: S608
        )
        return [from_row(row) for row in rows]

    @override
    async def get(self, job_id: str) -> Job | None:
        return await fetch_job(self._database, job_id)

    @override
    async def claim(self, job_id: str) -> bool:
        return await self._move(job_id, JobStatus.INITIALIZING, {})

    @override
    async def mark_running(self, job_id: str, at: datetime) -> bool:
        return await self._move(job_id, JobStatus.RUNNING, {"started_at": format_time(at)})

    @override
    async def retry(self, job_id: str, attempt: int) -> bool:
        rows = await self._database.write(
            "UPDATE jobs SET attempt = attempt + 1, status = 'initializing', "  # noqa: S608
            "started_at = NULL, launch_step = NULL WHERE job_id = ? AND attempt = ? "
            f"AND status = 'running' AND reason IS NULL AND {HOLDS_LEASE} RETURNING job_id",
            (job_id, attempt, self._holder),
        )
        return self._moved(job_id, rows)

    @override
    async def begin_failure(self, job_id: str, ending: Ending) -> bool:
        """The columns are those of the end, which they are until then."""
        with disk_full_told(self._database.path):
            rows = await self._database.write(
                "UPDATE jobs SET reason = ?, message = ?, log_size = ?, "  # noqa: S608 - constants
                "log_dropped = ? WHERE job_id = ? AND reason IS NULL "
                f"AND status IN {LIVE} AND {HOLDS_LEASE} RETURNING job_id",
                (
                    ending.outcome.reason.value,
                    ending.outcome.message,
                    ending.log_size,
                    log_dropped_to_row(ending.log_dropped),
                    job_id,
                    self._holder,
                ),
            )
        return bool(rows)

    @override
    async def finish(
        self, job_id: str, ending: Ending, at: datetime, *, keep_package: bool = False
    ) -> bool:
        facts = {
            "ended_at": format_time(at),
            "reason": ending.outcome.reason.value,
            "message": ending.outcome.message,
            "exit_code": ending.outcome.exit_code,
            "log_size": ending.log_size,
            "log_dropped": log_dropped_to_row(ending.log_dropped),
            "artifacts_size": sum(artifact.size for artifact in ending.artifacts),
            "tests": tests_to_json(ending.tests),
            "coverage": coverage_to_json(ending.coverage),
        }
        target = ending.outcome.status
        kept = ", package_kept = package_sha256 IS NOT NULL" if keep_package else ""
        statement, parameters = self._statement(job_id, target, facts, kept)
        with disk_full_told(self._database.path):
            async with self._database.transaction() as connection:
                rows = list(await connection.execute_fetchall(statement, parameters))
                if rows:
                    await connection.executemany(
                        f"INSERT INTO artifacts (job_id, {ARTIFACT_COLUMNS}) "  # noqa: S608
                        "VALUES (?, ?, ?, ?, ?)",
                        [(job_id, *artifact_to_row(item)) for item in ending.artifacts],
                    )
                    await add_details(connection, job_id, ending)
        return self._moved(job_id, rows)

    @override
    async def report_progress(self, reports: Sequence[ProgressReport], at: datetime) -> None:
        async with self._database.transaction() as connection:
            for report in reports:
                last = await connection.execute_fetchall(_LAST_REPORT, (report.job_id,))
                told = report.following(_progress_of(report.job_id, last))
                await connection.execute(_REPORT, _progress_row(told, at, self._holder))
        self._signals.notify_events()

    @override
    async def note_launch_step(self, job_id: str, attempt: int, step: LaunchStep) -> bool:
        rows = await self._database.write(
            "UPDATE jobs SET launch_step = ? WHERE job_id = ? AND attempt = ? "  # noqa: S608 - constants
            f"AND status = 'initializing' AND {HOLDS_LEASE} RETURNING job_id",
            (str(step), job_id, attempt, self._holder),
        )
        if rows:
            self._signals.notify(job_id)
        return bool(rows)

    async def _move(
        self, job_id: str, target: JobStatus, facts: Mapping[str, str | int | None]
    ) -> bool:
        rows = await self._database.write(*self._statement(job_id, target, facts))
        return self._moved(job_id, rows)

    def _moved(self, job_id: str, rows: Sequence[Row]) -> bool:
        if rows:
            self._signals.notify(job_id)
            self._signals.notify_events()
        return bool(rows)

    def _statement(
        self,
        job_id: str,
        target: JobStatus,
        facts: Mapping[str, str | int | None],
        derived: str = "",
    ) -> tuple[str, tuple[str | int | None, ...]]:
        sources = sources_of(target)
        changes = "".join(f", {column} = ?" for column in facts)
        statement = (
            f"UPDATE jobs SET status = ?{changes}{derived} WHERE job_id = ? "  # noqa: S608 - constants
            f"AND status IN ({', '.join('?' * len(sources))}) AND {HOLDS_LEASE} RETURNING job_id"
        )
        return statement, (target.value, *facts.values(), job_id, *sources, self._holder)


def _progress_of(job_id: str, rows: Iterable[Row]) -> ProgressReport | None:
    for row in rows:
        facts = json.loads(row["facts"])
        return ProgressReport(job_id, facts["attempt"], Progress.from_facts(facts))
    return None


def _progress_row(report: ProgressReport, at: datetime, holder: str) -> dict[str, str | int | None]:
    facts = {"attempt": report.attempt, **report.progress.to_facts()}
    return {
        "job_id": report.job_id,
        "attempt": report.attempt,
        "at": format_time(at),
        "facts": json.dumps(facts),
        "holder": holder,
    }
