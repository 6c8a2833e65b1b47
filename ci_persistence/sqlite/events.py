"""Job events as rows (port JobEvents). Triggers in the schema write them.

`seq` increases in commit order: a transaction gets its numbers while it holds the write lock
(BEGIN IMMEDIATE), AUTOINCREMENT never reuses a number however many rows are deleted, and a rollback
also rolls back the counter. So a reader whose snapshot contains an event also has every earlier
one. Only restoring a backup reuses numbers, which is why it starts a new stream.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from ci_common.errors import DatabaseError, EventsGoneError
from ci_common.job import Visibility
from ci_common.job_events import EventCursor, JobEvent, JobEventKind
from ci_common.policy import JobScope
from ci_common.ports.events import EventBatch, JobEvents, JobHistory
from ci_persistence.database.database import Database
from ci_persistence.sqlite.job_rows import scope_conditions

LATEST = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job_events'), 0)"
"""The last number used, even if its event has been deleted."""

BEGIN_STREAM = f"UPDATE event_stream SET stream = lower(hex(randomblob(8))), first_seq = {LATEST}"  # noqa: S608
"""To execute after the rows of a backup were put in place, before any other change."""


class SqliteJobEvents(JobEvents):
    """Of one database, in whichever process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def latest(self) -> EventCursor:
        stream, seq = await self._head()
        return EventCursor(stream, seq)

    @override
    async def earliest(self) -> EventCursor:
        stream, seq = await self._head()
        return EventCursor(stream, 0, reported=seq)

    @override
    async def after(self, cursor: EventCursor, scope: JobScope, limit: int) -> EventBatch:
        rows = await self._rows_after(cursor, scope, limit)
        if (resume := _resume(rows[0], cursor)) is not None:
            raise EventsGoneError(resume=resume)
        events = tuple(_from_row(row) for row in rows if row["seq"] is not None)
        seq = events[-1].seq if len(events) == limit else rows[0]["latest"]
        return EventBatch(events, EventCursor(cursor.stream, seq, cursor.reported))

    async def _head(self) -> tuple[str, int]:
        row = await self._database.fetch_one(
            f"SELECT stream, {LATEST} AS latest FROM event_stream"  # noqa: S608 - constants
        )
        if row is None:
            raise _no_stream(self._database)
        return row["stream"], row["latest"]

    async def _rows_after(
        self, cursor: EventCursor, scope: JobScope, limit: int
    ) -> Sequence[sqlite3.Row]:
        """The events, each with the stream's state; one row without an event when there are none.
        One statement, hence one snapshot: with two, a deletion in between could be missed.
        """
        conditions, parameters = scope_conditions(scope)
        narrow = "".join(f" AND {condition}" for condition in conditions)
        rows = await self._database.fetch_all(
            f"SELECT stream.stream, first_seq, gone_seq, gone_at, {LATEST} AS latest, "  # noqa: S608
            "EXISTS (SELECT 1 FROM job_events WHERE kind = 'deleted' AND seq > ? "
            f"AND json_extract(facts, '$.last_seq') > ?{narrow}) AS gone, found.* "
            "FROM event_stream AS stream LEFT JOIN ("
            "SELECT seq, job_id, tenant, user, kind, at, facts, visibility FROM job_events "
            f"WHERE seq > ?{narrow} ORDER BY seq LIMIT ?) AS found ON true ORDER BY found.seq",
            [
                max(cursor.seq, cursor.reported),
                cursor.seq,
                *parameters,
                cursor.seq,
                *parameters,
                limit,
            ],
        )
        if not rows:
            raise _no_stream(self._database)
        return rows


class SqliteJobHistory(JobHistory):
    """Of one database, in whichever process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def of_job(self, job_id: str) -> list[JobEvent]:
        rows = await self._database.fetch_all(
            "SELECT seq, job_id, tenant, user, kind, at, facts, visibility FROM job_events "
            "WHERE job_id = ? ORDER BY seq",
            (job_id,),
        )
        return [_from_row(row) for row in rows]


def _resume(row: sqlite3.Row, cursor: EventCursor) -> EventCursor | None:
    """Where to continue if events after the cursor are gone, else `None`."""
    stream, latest = row["stream"], row["latest"]
    if cursor.stream != stream:
        return EventCursor(stream, row["first_seq"], reported=latest)
    if cursor.seq > latest:  # an older copy of the database file was put in place
        return EventCursor(stream, latest)
    if row["gone"] or (row["gone_seq"] > cursor.seq and row["gone_at"] > cursor.reported):
        return EventCursor(stream, cursor.seq, reported=latest)
    return None


def _from_row(row: sqlite3.Row) -> JobEvent:
    return JobEvent(
        seq=row["seq"],
        job_id=row["job_id"],
        tenant=row["tenant"],
        user=row["user"],
        kind=JobEventKind(row["kind"]),
        at=datetime.fromisoformat(row["at"]),
        facts=json.loads(row["facts"]),
        visibility=Visibility(row["visibility"]),
    )


def _no_stream(database: Database) -> DatabaseError:
    return DatabaseError(
        f"the database {database.path} has lost the name of its event stream; restore a backup"
    )
