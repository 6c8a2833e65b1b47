"""The server's side of the rows (port JobSubmissions)."""

import json
import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from ci_common.errors import (
    AmbiguousJobIdError,
    JobFinishedError,
    JobNotFoundError,
    JobStartedError,
    NotReadyError,
    quoted,
)
from ci_common.job import Artifact, Job, format_time, parse_time
from ci_common.policy import JobScope
from ci_common.ports.audit import AuditEntry
from ci_common.ports.rows import (
    ControllerState,
    JobQuery,
    JobSubmissions,
    ServerLoad,
    StartOutlook,
)
from ci_common.ports.signals import JobSignals
from ci_common.ports.usage import NO_QUOTAS, Quotas
from ci_common.run import RunRequest
from ci_persistence.database.database import Database
from ci_persistence.database.errors import disk_full_told
from ci_persistence.sqlite.audit import insert
from ci_persistence.sqlite.job_list import (
    KEYS,
    OF_OTHER_DOORS,
    Position,
    count_sql,
    list_sql,
)
from ci_persistence.sqlite.job_rows import (
    ARTIFACT_COLUMNS,
    COLUMNS,
    LIVE,
    artifact_from_row,
    fetch_job,
    from_row,
    scope_conditions,
    to_row,
)
from ci_persistence.sqlite.runs import insert_run
from ci_persistence.sqlite.usage import check_room, make_room

_INSERT = (
    f"INSERT INTO jobs ({COLUMNS}) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * len(COLUMNS.split(',')))})"
)

_WAITING = "status = 'queued' AND cancel_requested_at IS NULL"
"""Jobs that will be started. One that is to be cancelled never is, so nobody waits for it."""

_BUSY = (
    "SELECT count(*) AS everybodys, sum(tenant = ?) AS own FROM jobs "
    "WHERE status IN ('initializing', 'running') AND job_id != ?"
)
UNDER_WAY = (
    "SELECT tenant, count(*) AS jobs FROM jobs INDEXED BY jobs_live_of_user "  # noqa: S608
    f"WHERE status IN {LIVE} AND status != 'queued' GROUP BY tenant"
)
"""The index has live jobs only; without statistics SQLite would go through all others, too."""
_RECENT_JOBS = 500
RECENT = (
    "SELECT (julianday(ended_at) - julianday(started_at)) * 86400.0 AS seconds FROM (SELECT * "  # noqa: S608 - constants
    f"FROM jobs WHERE tenant = ? AND door = ? AND {OF_OTHER_DOORS} "
    f"ORDER BY seq DESC LIMIT {_RECENT_JOBS}) WHERE json_extract(spec, '$.title') IS ? "
    "AND status = 'completed' AND exit_code = 0 AND started_at IS NOT NULL LIMIT 20"
)

_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")
_AFTER_EVERY_ID = "g"
_NAMED_IDS = 5
"""Of an ambiguous prefix."""


def find_query(scope: JobScope, prefix: str) -> tuple[str, tuple[str, ...]]:
    """The SQL that finds the jobs in the scope whose ids begin so, the first few of them."""
    conditions, parameters = scope_conditions(scope)
    # A `+` keeps SQLite from looking through all jobs of a tenant: it is to use the ids' index.
    own = "".join(f" AND +{condition}" for condition in conditions)
    sql = (
        f"SELECT {COLUMNS} FROM jobs WHERE job_id >= ? AND job_id < ?{own} "  # noqa: S608
        f"ORDER BY job_id LIMIT {_NAMED_IDS + 1}"
    )
    return sql, (prefix, prefix + _AFTER_EVERY_ID, *parameters)


class SqliteJobSubmissions(JobSubmissions):
    """Jobs as clients see them."""

    def __init__(self, database: Database, signals: JobSignals) -> None:
        self._database = database
        self._signals = signals

    @override
    async def add(
        self,
        job: Job,
        quotas: Quotas = NO_QUOTAS,
        audit: AuditEntry | None = None,
        run: RunRequest | None = None,
    ) -> None:
        with disk_full_told(self._database.path):
            async with self._database.transaction() as connection:
                # It has the write lock: nobody adds a job between the look and the row.
                size = job.package.size if job.package else 0
                await make_room(connection, job.tenant, quotas, size)
                await check_room(connection.execute_fetchall, job.tenant, job.user, quotas, size)
                await connection.execute(_INSERT, to_row(job))
                if run is not None:
                    await insert_run(connection, job.job_id, run)
                await insert(connection, audit)
        self._signals.notify_events()

    @override
    async def check_room(self, tenant: str, user: str, quotas: Quotas) -> None:
        await check_room(self._database.fetch_all, tenant, user, quotas)

    @override
    async def get(self, job_id: str) -> Job | None:
        return await fetch_job(self._database, job_id)

    @override
    async def find(self, scope: JobScope, prefix: str) -> Job | None:
        if not _ID_PREFIX.fullmatch(prefix):
            return None
        rows = await self._database.fetch_all(*find_query(scope, prefix))
        if len(rows) > 1:
            ids = [row["job_id"] for row in rows]
            told = ", ".join(ids[:_NAMED_IDS]) + (", and more" if len(ids) > _NAMED_IDS else "")
            raise AmbiguousJobIdError(
                f"several jobs have ids that begin with {prefix!r}: {told}; "
                "give more characters of the id"
            )
        return from_row(rows[0]) if rows else None

    @override
    async def list_jobs(self, scope: JobScope, query: JobQuery) -> list[Job]:
        after = None if query.before is None else await self._position(scope, query, query.before)
        rows = await self._database.fetch_all(*list_sql(scope, query, after))
        return [from_row(row) for row in rows]

    @override
    async def count_jobs(self, scope: JobScope, query: JobQuery) -> int:
        row = await self._database.fetch_one(*count_sql(scope, query))
        return int(row["total"]) if row else 0

    @override
    async def artifacts(self, job_id: str, most: int | None = None) -> list[Artifact]:
        rows = await self._database.fetch_all(
            f"SELECT {ARTIFACT_COLUMNS} FROM artifacts "  # noqa: S608 - constants
            "WHERE job_id = ? ORDER BY path LIMIT ?",
            (job_id, -1 if most is None else most),
        )
        return [artifact_from_row(row) for row in rows]

    @override
    async def artifacts_of(self, job_ids: Sequence[str], most: int) -> dict[str, list[Artifact]]:
        rows = await self._database.fetch_all(
            f"SELECT job_id, {ARTIFACT_COLUMNS} FROM (SELECT job_id, {ARTIFACT_COLUMNS}, "  # noqa: S608 - constants
            "row_number() OVER (PARTITION BY job_id ORDER BY path) AS place FROM artifacts "
            "WHERE job_id IN (SELECT value FROM json_each(?))) WHERE place <= ? "
            "ORDER BY job_id, path",
            (json.dumps(list(job_ids)), most),
        )
        found: dict[str, list[Artifact]] = {}
        for row in rows:
            found.setdefault(row["job_id"], []).append(artifact_from_row(row))
        return found

    @override
    async def artifact(self, job_id: str, path: str) -> Artifact | None:
        row = await self._database.fetch_one(
            f"SELECT {ARTIFACT_COLUMNS} FROM artifacts "  # noqa: S608 - constants
            "WHERE job_id = ? AND path = ?",
            (job_id, path),
        )
        return None if row is None else artifact_from_row(row)

    @override
    async def queue_position(self, job: Job) -> int | None:
        row = await self._database.fetch_one(
            "SELECT count(*) AS place FROM jobs JOIN (SELECT seq AS own, priority AS own_priority "  # noqa: S608 - constants
            f"FROM jobs WHERE job_id = ? AND {_WAITING}) WHERE tenant = ? AND {_WAITING} "
            "AND (priority > own_priority OR priority = own_priority AND seq <= own)",
            (job.job_id, job.tenant),
        )
        return int(row["place"]) or None if row else None

    @override
    async def queue_positions(self, tenant: str) -> dict[str, int]:
        rows = await self._database.fetch_all(
            f"SELECT job_id FROM jobs WHERE tenant = ? AND {_WAITING} "  # noqa: S608 - constants
            "ORDER BY priority DESC, seq",
            (tenant,),
        )
        return {row["job_id"]: place for place, row in enumerate(rows, 1)}

    @override
    async def start_outlook(self, job: Job) -> StartOutlook:
        place = await self.queue_position(job)
        busy = await self._database.fetch_one(_BUSY, (job.tenant, job.job_id))
        ended = await self._database.fetch_all(RECENT, (job.tenant, job.door.value, job.spec.title))
        return StartOutlook(
            ahead=None if place is None else place - 1,
            busy_of_tenant=int(busy["own"] or 0) if busy else 0,
            busy=int(busy["everybodys"]) if busy else 0,
            recent_seconds=tuple(float(row["seconds"]) for row in ended),
        )

    @override
    async def request_cancel(
        self,
        job_id: str,
        at: datetime,
        audit: AuditEntry | None = None,
        *,
        only_queued: bool = False,
    ) -> Job:
        from_statuses = "('queued')" if only_queued else LIVE
        with disk_full_told(self._database.path):
            async with self._database.transaction() as connection:
                wished = await connection.execute_fetchall(
                    "SELECT 1 FROM jobs WHERE job_id = ? AND cancel_requested_at IS NOT NULL",
                    (job_id,),
                )
                rows = await connection.execute_fetchall(
                    "UPDATE jobs "  # noqa: S608 - constants
                    "SET cancel_requested_at = coalesce(cancel_requested_at, ?) "
                    f"WHERE job_id = ? AND status IN {from_statuses} RETURNING {COLUMNS}",
                    (format_time(at), job_id),
                )
                found = list(rows)
                if found and not list(wished):
                    await insert(connection, audit)
        if found:
            self._signals.notify(job_id)
            self._signals.notify_events()
            return from_row(found[0])
        job = await self.get(job_id)
        if job is None:
            raise JobNotFoundError
        raise JobFinishedError if job.status.is_terminal else JobStartedError

    @override
    async def controller_state(self) -> ControllerState | None:
        row = await self._database.fetch_one(
            "SELECT heartbeat_at, engine_error FROM controller_lease"
        )
        heartbeat = parse_time(row["heartbeat_at"]) if row else None
        if row is None or heartbeat is None:
            return None
        return ControllerState(heartbeat_at=heartbeat, engine_error=row["engine_error"])

    @override
    async def server_load(self) -> ServerLoad:
        rows = await self._database.fetch_all(UNDER_WAY)
        under_way = {str(row["tenant"]): int(row["jobs"]) for row in rows}
        return ServerLoad(await self.controller_state(), under_way)

    @override
    async def check_writable(self) -> None:
        try:
            async with self._database.transaction() as connection:
                await connection.execute("UPDATE instance SET instance_id = instance_id")
        except (sqlite3.Error, OSError) as error:
            raise NotReadyError(f"the database cannot be written: {error}") from error

    async def _position(self, scope: JobScope, query: JobQuery, job_id: str) -> Position:
        conditions, parameters = scope_conditions(scope)
        where = " AND ".join(("job_id = ?", *conditions))
        row = await self._database.fetch_one(
            f"SELECT seq, {KEYS[query.sort]} AS key FROM jobs WHERE {where}",  # noqa: S608
            (job_id, *parameters),
        )
        if row is None or row["key"] is None:
            raise JobNotFoundError(f"the cursor {quoted(job_id)} is not a job of this list")
        return Position(row["key"], row["seq"])
