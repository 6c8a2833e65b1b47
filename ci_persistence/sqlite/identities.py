"""Users and API keys as rows (ports IssuedKeys and IdentityAdministration)."""

import logging
import sqlite3
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import aiosqlite
from typing_extensions import override

from ci_common.errors import (
    KeyNotFoundError,
    LastUserError,
    RunnerError,
    UserExistsError,
    UserNotFoundError,
)
from ci_common.identities import ApiKey, User, is_whole_token, prefix_of, token_digest
from ci_common.job import format_time, parse_time
from ci_common.ports.audit import AuditEntry
from ci_common.ports.identities import IdentityAdministration, IssuedKeys
from ci_common.principal import Role
from ci_persistence.database.database import Database, Parameters
from ci_persistence.database.errors import explain
from ci_persistence.database.location import refused_by_system
from ci_persistence.database.write_lock import read_only
from ci_persistence.sqlite.audit import insert

logger = logging.getLogger(__name__)

_USER = "email, tenant, users.name AS user_name, users.created_at AS user_created_at, disabled_at"
_KEY = (
    "key_id, prefix, api_keys.name, role, api_keys.created_at, expires_at, last_used_at, revoked_at"
)
_KEYS = f"SELECT {_KEY}, {_USER} FROM api_keys JOIN users USING (email)"  # noqa: S608

KEY_COLUMNS = f"{_KEY}, {_USER}".replace("email", "users.email")
"""Of keys and their users, for `key_of_row`, in a query that joins them to another table."""

_INSERT_KEY = (
    "INSERT INTO api_keys (key_id, sha256, prefix, name, email, role, created_at, expires_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING key_id"
)
_END_KEY = (
    "UPDATE api_keys SET revoked_at = ?, expires_at = CASE WHEN ? THEN expires_at "
    "ELSE min(coalesce(expires_at, ?), ?) END WHERE key_id = ? AND revoked_at IS NULL "
    "AND (expires_at IS NULL OR expires_at > ?) RETURNING key_id"
)


class SqliteIssuedKeys(IssuedKeys):
    """The keys as the server asks for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def has_users(self) -> bool:
        return await self._database.fetch_one("SELECT 1 FROM users LIMIT 1") is not None

    @override
    async def find_live(self, digest: str, at: datetime) -> ApiKey | None:
        row = await self._database.fetch_one(
            f"{_KEYS} WHERE sha256 = ? AND revoked_at IS NULL AND disabled_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > ?)",
            (digest, format_time(at)),
        )
        return None if row is None else key_of_row(row)

    @override
    async def record_use(self, key_id: str, at: datetime) -> None:
        try:
            await self._database.write(
                "UPDATE api_keys SET last_used_at = ? "
                "WHERE key_id = ? AND coalesce(last_used_at, '') < ?",
                (format_time(at), key_id, format_time(at)),
            )
        except (sqlite3.Error, RunnerError) as error:
            logger.warning("the use of the API key %s could not be recorded: %s", key_id, error)


class SqliteIdentityAdministration(IdentityAdministration):
    """Users and keys as the administrator changes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def add_user(self, user: User, audit: AuditEntry | None = None) -> None:
        if not await self._change(
            "INSERT INTO users (email, tenant, name, created_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (email) DO NOTHING RETURNING email",
            (user.email, user.tenant, user.name, format_time(user.created_at)),
            audit,
        ):
            raise UserExistsError(
                f"{_taken(user.email)}; create keys with `ci-admin key create --email {user.email} "
                "--name NAME`"
            )

    @override
    async def get_user(self, email: str) -> User:
        row = await self._database.fetch_one(f"SELECT {_USER} FROM users WHERE email = ?", (email,))  # noqa: S608
        if row is None:
            raise UserNotFoundError(_unknown(email))
        return _user(row)

    @override
    async def users(self) -> list[User]:
        rows = await self._database.fetch_all(f"SELECT {_USER} FROM users ORDER BY tenant, email")  # noqa: S608
        return [_user(row) for row in rows]

    @override
    async def disable_user(self, email: str, at: datetime, audit: AuditEntry | None = None) -> User:
        await self._change(
            "UPDATE users SET disabled_at = ? WHERE email = ? AND disabled_at IS NULL "
            "RETURNING email",
            (format_time(at), email),
            audit,
        )
        return await self.get_user(email)

    @override
    async def enable_user(self, email: str, audit: AuditEntry | None = None) -> User:
        await self._change(
            "UPDATE users SET disabled_at = NULL WHERE email = ? AND disabled_at IS NOT NULL "
            "RETURNING email",
            (email,),
            audit,
        )
        return await self.get_user(email)

    @override
    async def delete_user(self, email: str, audit: AuditEntry | None = None) -> int:
        async with self._database.transaction() as connection:
            user = await _known(connection, email)
            others = "SELECT 1 FROM users WHERE email != ? LIMIT 1"
            if not list(await connection.execute_fetchall(others, (email,))):
                raise LastUserError(
                    f"{user.email} is the only user: without users, the server would give every "
                    "local program full access. Create another user first, or disable this one"
                )
            await connection.execute("DELETE FROM api_keys WHERE email = ?", (email,))
            await connection.execute("DELETE FROM users WHERE email = ?", (email,))
            await insert(connection, audit)
            return await _count_jobs(connection, user)

    @override
    async def rename_user(self, email: str, new_email: str, audit: AuditEntry | None = None) -> int:
        async with self._database.transaction() as connection:
            user = await _known(connection, email)
            if await _found(connection, new_email) is not None:
                raise UserExistsError(_taken(new_email))
            moved = await _count_jobs(connection, user)
            for statement in _RENAME:
                names = {"new": new_email, "old": user.email, "tenant": user.tenant}
                await connection.execute(statement, names)
            await insert(connection, audit)
            return moved

    @override
    async def add_key(self, key: ApiKey, digest: str, audit: AuditEntry | None = None) -> None:
        user = await self.get_user(key.user.email)
        await self._change(_INSERT_KEY, _key_row(replace(key, user=user), digest), audit)

    @override
    async def rotate(
        self,
        key_id: str,
        new: ApiKey,
        digest: str,
        until: datetime,
        audit: AuditEntry | None = None,
    ) -> None:
        now, end = format_time(new.created_at), format_time(until)
        at_once = until <= new.created_at
        async with self._database.transaction() as connection:
            ended = await connection.execute_fetchall(
                _END_KEY, (now if at_once else None, at_once, end, end, key_id, now)
            )
            if not list(ended):
                raise KeyNotFoundError(
                    f"there is no live API key {_shown(key_id)}; replace an expired or revoked key "
                    "with `ci-admin key create`"
                )
            await connection.execute_fetchall(_INSERT_KEY, _key_row(new, digest))
            await insert(connection, audit)

    @override
    async def keys(self, email: str | None = None) -> list[ApiKey]:
        if email is not None:
            await self.get_user(email)
        rows = await self._database.fetch_all(
            f"{_KEYS} WHERE ? IS NULL OR email = ? ORDER BY api_keys.rowid", (email, email)
        )
        return [key_of_row(row) for row in rows]

    @override
    async def find_key(self, reference: str) -> ApiKey:
        rows = await self._database.fetch_all(
            f"{_KEYS} WHERE key_id = ? OR prefix = ? OR sha256 = ? ORDER BY api_keys.rowid",
            (reference, reference, token_digest(reference)),
        )
        if not rows:
            raise KeyNotFoundError(
                f"there is no API key {_shown(reference)}: `ci-admin key list` shows ids and "
                "prefixes"
            )
        if len(rows) > 1:
            ids = ", ".join(row["key_id"] for row in rows)
            raise KeyNotFoundError(
                f"{_shown(reference)} matches several API keys: use one of {ids}"
            )
        return key_of_row(rows[0])

    @override
    async def revoke(self, key_id: str, at: datetime, audit: AuditEntry | None = None) -> ApiKey:
        await self._change(
            "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL "
            "RETURNING key_id",
            (format_time(at), key_id),
            audit,
        )
        return await self.find_key(key_id)

    async def _change(
        self, statement: str, parameters: Parameters, audit: AuditEntry | None
    ) -> bool:
        """Whether the statement, which returns what it changed, changed anything."""
        async with self._database.transaction() as connection:
            changed = list(await connection.execute_fetchall(statement, parameters))
            if changed:
                await insert(connection, audit)
        return bool(changed)


def has_users(path: Path) -> bool:
    """Whether a database has users, asked before it is opened; False when there is none.

    Raises DatabaseError.
    """
    if not path.exists():
        return False
    try:
        with read_only(path) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name='users'").fetchone():
                return False
            return connection.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None
    except sqlite3.Error as error:
        raise explain(path, error) from error
    except OSError as error:
        raise refused_by_system(path, error) from error


_RENAME = (
    "INSERT INTO users (email, tenant, name, created_at, disabled_at) "
    "SELECT :new, tenant, name, created_at, disabled_at FROM users WHERE email = :old",
    "UPDATE api_keys SET email = :new WHERE email = :old",
    "DELETE FROM users WHERE email = :old",
    "UPDATE runs SET user_email = :new WHERE user_email = :old AND job_id IN "
    "(SELECT job_id FROM jobs WHERE tenant = :tenant AND user = :old)",
    "UPDATE jobs SET user = :new WHERE tenant = :tenant AND user = :old",
    "UPDATE job_events SET user = :new WHERE tenant = :tenant AND user = :old",
)
"""Keys refer to users by address, so the new one is there before they move."""


async def _found(connection: aiosqlite.Connection, email: str) -> User | None:
    rows = await connection.execute_fetchall(f"SELECT {_USER} FROM users WHERE email = ?", (email,))  # noqa: S608
    return next((_user(row) for row in rows), None)


async def _known(connection: aiosqlite.Connection, email: str) -> User:
    user = await _found(connection, email)
    if user is None:
        raise UserNotFoundError(_unknown(email))
    return user


async def _count_jobs(connection: aiosqlite.Connection, user: User) -> int:
    rows = await connection.execute_fetchall(
        "SELECT count(*) FROM jobs WHERE tenant = ? AND user = ?", (user.tenant, user.email)
    )
    return next(int(row[0]) for row in rows)


def _taken(email: str) -> str:
    return f"there is a user {email} already (`ci-admin user list` shows the tenant)"


def _unknown(email: str) -> str:
    return (
        f"there is no user {email}: `ci-admin user list` lists all users, and `ci-admin user "
        f"create --email {email} --name NAME` creates one"
    )


def _key_row(key: ApiKey, digest: str) -> tuple[str | None, ...]:
    return (
        key.key_id,
        digest,
        key.prefix,
        key.name,
        key.user.email,
        key.role.value,
        format_time(key.created_at),
        format_time(key.expires_at),
    )


def _shown(reference: str) -> str:
    """What was typed may be a key itself, which belongs into no message."""
    return f"{prefix_of(reference)}…" if is_whole_token(reference) else repr(reference[:100])


def _user(row: sqlite3.Row) -> User:
    return User(
        email=row["email"],
        name=row["user_name"],
        created_at=_moment(row["user_created_at"]),
        tenant=row["tenant"],
        disabled_at=parse_time(row["disabled_at"]),
    )


def key_of_row(row: sqlite3.Row) -> ApiKey:
    """The key of a row that has `KEY_COLUMNS`."""
    return ApiKey(
        key_id=row["key_id"],
        prefix=row["prefix"],
        name=row["name"],
        user=_user(row),
        role=Role(row["role"]),
        created_at=_moment(row["created_at"]),
        expires_at=parse_time(row["expires_at"]),
        last_used_at=parse_time(row["last_used_at"]),
        revoked_at=parse_time(row["revoked_at"]),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
