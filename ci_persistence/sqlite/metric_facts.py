"""What metrics tell of the database (port MetricFacts)."""

import sqlite3
from datetime import datetime

from typing_extensions import override

from ci_common.job import parse_time
from ci_common.job_events import JobEventKind
from ci_common.ports.metrics import CountedEvent, InstanceFacts, MetricFacts, StoredBytes
from ci_persistence.database.database import Database
from ci_persistence.sqlite.events import LATEST
from ci_persistence.sqlite.job_rows import LIVE

NOW = (
    "SELECT 'live' AS fact, tenant AS a, status AS b, count(*) AS c, 0 AS d, 0 AS e "  # noqa: S608 - constants
    f"FROM jobs INDEXED BY jobs_live_of_user WHERE status IN {LIVE} GROUP BY tenant, status "
    "UNION ALL SELECT 'stored', tenant, finished_jobs, package_bytes, log_bytes, artifact_bytes "
    "FROM tenant_totals "
    "UNION ALL SELECT 'oldest', (SELECT created_at FROM jobs INDEXED BY jobs_active "
    f"WHERE status IN {LIVE} AND status = 'queued' ORDER BY seq LIMIT 1), 0, 0, 0, 0 "
    "UNION ALL SELECT 'controller', heartbeat_at, 0, engine_error IS NOT NULL, 0, 0 "
    "FROM controller_lease "
    f"UNION ALL SELECT 'events', stream, 0, {LATEST}, 0, 0 FROM event_stream"
)
"""One statement, hence one snapshot."""

EVENTS = (
    "SELECT event.seq, event.tenant, kind, at, json_extract(facts, '$.attempt') AS attempt, "
    "json_extract(facts, '$.status') AS status, json_extract(facts, '$.reason') AS reason, "
    "json_extract(facts, '$.exit_code') AS exit_code, "
    "json_extract(facts, '$.log_size') AS log_size, "
    "json_extract(facts, '$.artifacts_size') AS artifacts_size, job.created_at, job.started_at, "
    "CASE kind WHEN 'started' THEN (SELECT at FROM job_events AS earlier "
    "WHERE earlier.job_id = event.job_id AND earlier.seq < event.seq "
    "AND kind IN ('claimed', 'retried') ORDER BY seq DESC LIMIT 1) END AS claimed_at "
    "FROM job_events AS event LEFT JOIN jobs AS job USING (job_id) "
    "WHERE event.seq > ? ORDER BY event.seq LIMIT ?"
)


class SqliteMetricFacts(MetricFacts):
    """Of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def now(self) -> InstanceFacts:
        found: dict[str, list[sqlite3.Row]] = {}
        for row in await self._database.fetch_all(NOW):
            found.setdefault(row["fact"], []).append(row)
        controller, events = found["controller"][0], found["events"][0]
        return InstanceFacts(
            live=[(row["a"], row["b"], row["c"]) for row in found.get("live", ())],
            stored=[
                StoredBytes(row["a"], row["b"], row["c"], row["d"], row["e"])
                for row in found.get("stored", ())
            ],
            oldest_queued_at=parse_time(found["oldest"][0]["a"]),
            heartbeat_at=parse_time(controller["a"]),
            engine_error=bool(controller["c"]),
            stream=events["a"],
            last_event=events["c"],
        )

    @override
    async def events(self, after: int, limit: int) -> list[CountedEvent]:
        return [_counted(row) for row in await self._database.fetch_all(EVENTS, (after, limit))]


def _counted(row: sqlite3.Row) -> CountedEvent:
    return CountedEvent(
        seq=row["seq"],
        tenant=row["tenant"],
        kind=JobEventKind(row["kind"]),
        at=datetime.fromisoformat(row["at"]),
        attempt=row["attempt"] or 1,
        status=row["status"],
        reason=row["reason"],
        exit_code=row["exit_code"],
        log_size=row["log_size"] or 0,
        artifacts_size=row["artifacts_size"] or 0,
        created_at=parse_time(row["created_at"]),
        started_at=parse_time(row["started_at"]),
        claimed_at=parse_time(row["claimed_at"]),
    )
