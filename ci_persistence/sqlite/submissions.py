"""The server's side of the rows (port JobSubmissions)."""

import re
import sqlite3
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
from ci_common.job import Artifact, Door, Job, format_time, parse_time
from ci_common.policy import JobScope
from ci_common.ports.audit import AuditEntry
from ci_common.ports.rows import (
    ControllerState,
    JobQuery,
    JobSubmissions,
    StartOutlook,
)
from ci_common.ports.signals import JobSignals
from ci_common.ports.usage import NO_QUOTAS, Quotas
from ci_common.run import RunRequest
from ci_persistence.database.database import Database
from ci_persistence.database.errors import disk_full_told
from ci_persistence.sqlite.audit import insert
from ci_persistence.sqlite.job_rows import (
    ARTIFACT_COLUMNS,
    COLUMNS,
    LIVE,
    artifact_from_row,
    fetch_job,
    from_row,
    ordered_scope_conditions,
    scope_conditions,
    state_conditions,
    to_row,
)
from ci_persistence.sqlite.runs import insert_run
from ci_persistence.sqlite.usage import check_room

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
_OF_OTHER_DOORS = "door != 'native'"
"""Only for these is there an index by door, which SQLite uses where it reads this."""

_RECENT_JOBS = 500
RECENT = (
    "SELECT (julianday(ended_at) - julianday(started_at)) * 86400.0 AS seconds FROM (SELECT * "  # noqa: S608 - constants
    f"FROM jobs WHERE tenant = ? AND door = ? AND {_OF_OTHER_DOORS} "
    f"ORDER BY seq DESC LIMIT {_RECENT_JOBS}) WHERE json_extract(spec, '$.title') IS ? "
    "AND status = 'completed' AND exit_code = 0 AND started_at IS NOT NULL LIMIT 20"
)


def list_statement(
    scope: JobScope, query: JobQuery, before: int | None
) -> tuple[str, list[str | int]]:
    """A list of jobs, newest first, and its parameters; `before` is the `seq` that ends it.

    SQLite merges parts that are each in order, and reads no more of them than the list shows.
    """
    wanted, values = _query_conditions(query, before)
    of_other_door = query.door not in (None, Door.NATIVE)  # there is an index for all its jobs
    parts = [scope_conditions(scope)] if of_other_door else ordered_scope_conditions(scope)
    selects = [
        f"SELECT {COLUMNS}, seq FROM jobs "  # noqa: S608 - constants
        f"WHERE {' AND '.join([*conditions, *wanted]) or 'true'}"
        for conditions, _ in parts
    ]
    parameters = [value for _, owned in parts for value in (*owned, *values)]
    return f"{' UNION ALL '.join(selects)} ORDER BY seq DESC LIMIT ?", [*parameters, query.limit]


def _query_conditions(query: JobQuery, before: int | None) -> tuple[list[str], list[str | int]]:
    conditions: list[str] = []
    parameters: list[str | int] = []
    if query.door is not None:
        conditions.append("door = ?")
        parameters.append(query.door.value)
        if query.door is not Door.NATIVE:
            conditions.append(_OF_OTHER_DOORS)
    if query.states is not None:
        conditions.append(state_conditions(query.states))
    if before is not None:
        conditions.append("seq < ?")
        parameters.append(before)
    return conditions, parameters


_ID_PREFIX = re.compile(r"[0-9a-f-]{4,36}")
_AFTER_EVERY_ID = "g"


def find_query(scope: JobScope, prefix: str) -> tuple[str, tuple[str, ...]]:
    """The SQL that finds the jobs in the scope whose ids begin so, two of them at most."""
    conditions, parameters = scope_conditions(scope)
    # A `+` keeps SQLite from looking through all jobs of a tenant: it is to use the ids' index.
    own = "".join(f" AND +{condition}" for condition in conditions)
    sql = f"SELECT {COLUMNS} FROM jobs WHERE job_id >= ? AND job_id < ?{own} LIMIT 2"  # noqa: S608
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
            raise AmbiguousJobIdError(
                f"several jobs have ids that begin with {prefix!r}; give more characters of the id"
            )
        return from_row(rows[0]) if rows else None

    @override
    async def list_jobs(self, scope: JobScope, query: JobQuery) -> list[Job]:
        before = None if query.before is None else await self._sequence(scope, query.before)
        statement, parameters = list_statement(scope, query, before)
        rows = await self._database.fetch_all(statement, parameters)
        return [from_row(row) for row in rows]

    @override
    async def artifacts(self, job_id: str, most: int | None = None) -> list[Artifact]:
        rows = await self._database.fetch_all(
            f"SELECT {ARTIFACT_COLUMNS} FROM artifacts "  # noqa: S608 - constants
            "WHERE job_id = ? ORDER BY path LIMIT ?",
            (job_id, -1 if most is None else most),
        )
        return [artifact_from_row(row) for row in rows]

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
    async def check_writable(self) -> None:
        try:
            async with self._database.transaction() as connection:
                await connection.execute("UPDATE instance SET instance_id = instance_id")
        except (sqlite3.Error, OSError) as error:
            raise NotReadyError(f"the database cannot be written: {error}") from error

    async def _sequence(self, scope: JobScope, job_id: str) -> int:
        conditions, parameters = scope_conditions(scope)
        row = await self._database.fetch_one(
            f"SELECT seq FROM jobs WHERE {' AND '.join(('job_id = ?', *conditions))}",  # noqa: S608
            (job_id, *parameters),
        )
        if row is None:
            raise JobNotFoundError(f"the cursor {quoted(job_id)} is not a job of this list")
        return int(row["seq"])
