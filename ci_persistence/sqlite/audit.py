"""The audit log in SQLite (ports AuditLog, AuditReader, AuditRetention).

Triggers refuse to change rows, and to delete those that are not older than a bound, which is
itself refused when it is not at least a day ago.
"""

import sqlite3
from dataclasses import fields
from datetime import datetime

import aiosqlite
from typing_extensions import override

from ci_common.errors import DatabaseError
from ci_common.job import format_time
from ci_common.ports.audit import (
    AuditEntry,
    AuditLog,
    AuditOutcome,
    AuditQuery,
    AuditReader,
    AuditRetention,
)
from ci_persistence.database.database import Database

_COLUMNS = tuple(field.name for field in fields(AuditEntry))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM audit"  # noqa: S608 - constants
INSERT = (
    f"INSERT INTO audit ({', '.join(_COLUMNS)}) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_BATCH = 1000


async def insert(connection: aiosqlite.Connection, entry: AuditEntry | None) -> None:
    """Add an entry, where there is one, in the transaction of what it tells of."""
    if entry is not None:
        await connection.execute(INSERT, to_row(entry))


def to_row(entry: AuditEntry) -> tuple[str | None, ...]:
    """The values in the order of the columns."""
    told = {name: getattr(entry, name) for name in _COLUMNS}
    told["at"] = format_time(entry.at)
    return tuple(None if value is None else str(value) for value in told.values())


class SqliteAuditLog(AuditLog, AuditReader, AuditRetention):
    """Of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def record(self, entry: AuditEntry) -> None:
        await self._database.write(INSERT, to_row(entry))

    @override
    async def entries(self, query: AuditQuery) -> list[AuditEntry]:
        wanted = {
            "at >= ?": format_time(query.since),
            "tenant = ?": query.tenant,
            "user = ?": query.user,
            "job_id = ?": query.job_id,
            "action = ?": query.action,
        }
        used = {condition: value for condition, value in wanted.items() if value is not None}
        rows = await self._database.fetch_all(
            f"{_SELECT} WHERE {' AND '.join(used) or 'true'} ORDER BY id DESC LIMIT ?",
            (*used.values(), query.limit),
        )
        return [_from_row(row) for row in reversed(rows)]

    @override
    async def delete_before(self, moment: datetime) -> int:
        deleted = 0
        while True:
            count = await self._delete_some(format_time(moment))
            deleted += count
            if count < _BATCH:
                return deleted

    async def _delete_some(self, before: str | None) -> int:
        try:
            async with self._database.transaction() as connection:
                await connection.execute("UPDATE audit_retention SET keep_from = ?", (before,))
                rows = await connection.execute_fetchall(
                    "DELETE FROM audit WHERE id IN "
                    "(SELECT id FROM audit WHERE at < ? LIMIT ?) RETURNING id",
                    (before, _BATCH),
                )
                return len(list(rows))
        except sqlite3.IntegrityError as error:
            raise DatabaseError(f"the audit log refuses to forget that: {error}") from error


def _from_row(row: sqlite3.Row) -> AuditEntry:
    values = dict(row)
    at, outcome = datetime.fromisoformat(values.pop("at")), AuditOutcome(values.pop("outcome"))
    return AuditEntry(at=at, outcome=outcome, **values)
