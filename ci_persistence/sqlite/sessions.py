"""Browser sessions as rows (ports BrowserSessions and SessionAdministration)."""

import logging
import sqlite3
from datetime import datetime

from typing_extensions import override

from ci_common.errors import RunnerError, UnauthenticatedError
from ci_common.job import format_time, parse_time
from ci_common.ports.audit import AuditEntry
from ci_common.ports.sessions import BrowserSessions, SessionAdministration
from ci_common.principal import Role
from ci_common.sessions import IssuedUser, Session
from ci_persistence.database.database import Database
from ci_persistence.sqlite.audit import insert
from ci_persistence.sqlite.identities import KEY_COLUMNS, key_of_row

logger = logging.getLogger(__name__)

_SELECT = (
    f"SELECT sessions.*, {KEY_COLUMNS} FROM sessions "  # noqa: S608 - constants
    "LEFT JOIN api_keys USING (key_id) LEFT JOIN users ON users.email = api_keys.email"
)
_INSERT = (
    "INSERT INTO sessions (session_id, sha256, key_id, issuer, issued_tenant, issued_user, "
    "issued_role, issued_email, begun_at, ends_at, used_at, address, agent) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OF_SAME_USER = (
    "key_id IN (SELECT key_id FROM api_keys WHERE email = "
    "(SELECT email FROM api_keys WHERE key_id = :key_id)) "
    "OR (issuer = :issuer AND issued_tenant = :tenant AND issued_user = :user)"
)
_TOO_MANY = (
    "DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions "  # noqa: S608
    f"WHERE ended_at IS NULL AND ({_OF_SAME_USER}) "
    "ORDER BY used_at DESC, rowid DESC LIMIT -1 OFFSET :most)"
)


class SqliteSessions(BrowserSessions, SessionAdministration):
    """Of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def add(
        self, session: Session, digest: str, most: int, audit: AuditEntry | None = None
    ) -> None:
        others = {
            "key_id": session.key_id,
            "issuer": session.issuer,
            "tenant": session.tenant,
            "user": session.user,
            "most": most - 1,
        }
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_TOO_MANY, others)
                await connection.execute(_INSERT, _row(session, digest))
                await insert(connection, audit)
        except sqlite3.IntegrityError:
            # The user was deleted since the key was looked at.
            raise UnauthenticatedError from None

    @override
    async def find(self, digest: str) -> Session | None:
        row = await self._database.fetch_one(f"{_SELECT} WHERE sessions.sha256 = ?", (digest,))
        return None if row is None else _session(row)

    @override
    async def of_user(self, tenant: str, user: str) -> list[Session]:
        rows = await self._database.fetch_all(
            f"{_SELECT} WHERE (users.tenant = ?1 AND users.email = ?2) "
            "OR (issued_tenant = ?1 AND issued_user = ?2) ORDER BY sessions.rowid",
            (tenant, user),
        )
        return [_session(row) for row in rows]

    @override
    async def record_use(self, session_id: str, at: datetime) -> None:
        try:
            await self._database.write(
                "UPDATE sessions SET used_at = ? WHERE session_id = ? AND used_at < ?",
                (format_time(at), session_id, format_time(at)),
            )
        except (sqlite3.Error, RunnerError) as error:
            logger.warning("the use of session %s could not be recorded: %s", session_id, error)

    @override
    async def delete(self, session_id: str, audit: AuditEntry | None = None) -> None:
        async with self._database.transaction() as connection:
            deleted = await connection.execute_fetchall(
                "DELETE FROM sessions WHERE session_id = ? RETURNING session_id", (session_id,)
            )
            if list(deleted):
                await insert(connection, audit)

    @override
    async def delete_before(self, moment: datetime) -> int:
        deleted = await self._database.write(
            "DELETE FROM sessions WHERE ends_at < ? RETURNING session_id", (format_time(moment),)
        )
        return len(deleted)

    @override
    async def sessions(self, user: str | None = None) -> list[Session]:
        rows = await self._database.fetch_all(
            f"{_SELECT} WHERE ?1 IS NULL OR users.email = ?1 OR issued_user = ?1 "
            "ORDER BY sessions.rowid",
            (user,),
        )
        return [_session(row) for row in rows]

    @override
    async def revoke(self, session_id: str, at: datetime, audit: AuditEntry | None = None) -> bool:
        async with self._database.transaction() as connection:
            changed = await connection.execute_fetchall(
                "UPDATE sessions SET ended_at = ? WHERE session_id = ? AND ended_at IS NULL "
                "RETURNING session_id",
                (format_time(at), session_id),
            )
            has_changed = bool(list(changed))
            if has_changed:
                await insert(connection, audit)
        return has_changed


def _row(session: Session, digest: str) -> tuple[str | None, ...]:
    who = session.stands_for
    issued: tuple[str | None, ...] = (None,) * 5
    if isinstance(who, IssuedUser):
        issued = (who.issuer, who.tenant, who.user, who.role.value, who.email)
    return (
        session.session_id,
        digest,
        session.key_id,
        *issued,
        format_time(session.begun_at),
        format_time(session.ends_at),
        format_time(session.used_at),
        session.address,
        session.agent,
    )


def _session(row: sqlite3.Row) -> Session:
    return Session(
        session_id=row["session_id"],
        stands_for=_issued(row) if row["issuer"] is not None else key_of_row(row),
        begun_at=datetime.fromisoformat(row["begun_at"]),
        ends_at=datetime.fromisoformat(row["ends_at"]),
        used_at=datetime.fromisoformat(row["used_at"]),
        ended_at=parse_time(row["ended_at"]),
        address=row["address"],
        agent=row["agent"],
    )


def _issued(row: sqlite3.Row) -> IssuedUser:
    return IssuedUser(
        row["issuer"],
        row["issued_tenant"],
        row["issued_user"],
        Role(row["issued_role"]),
        row["issued_email"],
    )
