"""Subscriptions and deliveries as operators administer them (port DeliveryAdministration)."""

from collections.abc import Sequence
from datetime import datetime

import aiosqlite
from typing_extensions import override

from ci_common.deliveries import Delivery, DeliveryState, Message, Subscription
from ci_common.errors import SecretKeyError
from ci_common.job import format_time
from ci_common.notify_targets import Channel
from ci_common.ports.audit import AuditEntry
from ci_common.ports.delivery import DeliveryAdministration
from ci_persistence.database.database import Database
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.audit import insert
from ci_persistence.sqlite.delivery_rows import (
    ADD_MESSAGE,
    DELIVERY_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    as_json_list,
    delivery_from_row,
    key_context,
    message_row,
    subscription_from_row,
)
from ci_persistence.sqlite.events import LATEST

_GIVE_UP = (
    "UPDATE deliveries SET state = 'failed', due_at = NULL, error = ? "
    "WHERE owner = ? AND state = 'pending'"
)


class SqliteSubscriptions(DeliveryAdministration):
    """Of one database."""

    def __init__(self, database: Database, keys: SecretKeys) -> None:
        self._database = database
        self._keys = keys

    @override
    async def add(
        self, subscription: Subscription, key: bytes | None, audit: AuditEntry | None = None
    ) -> None:
        one = subscription
        async with self._database.transaction() as connection:
            await connection.execute(
                f"INSERT INTO subscriptions ({SUBSCRIPTION_COLUMNS}) "  # noqa: S608 - constants
                f"VALUES (?, ?, ?, ?, ?, ?, ?, {LATEST}, ?, ?)",
                (
                    *(one.subscription_id, one.tenant, one.channel.value, one.address),
                    *(as_json_list(one.kinds), int(one.private), int(one.only_failures)),
                    *(one.disabled, format_time(one.created_at)),
                ),
            )
            if key is not None:
                await self._put_key(connection, one.tenant, one.subscription_id, key, None)
            await insert(connection, audit)

    @override
    async def subscriptions(self, tenant: str | None = None) -> list[Subscription]:
        rows = await self._database.fetch_all(
            f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions "  # noqa: S608 - constants
            "WHERE tenant = coalesce(?, tenant) ORDER BY created_at, id",
            (tenant,),
        )
        return [subscription_from_row(row) for row in rows]

    @override
    async def remove(self, subscription_id: str, audit: AuditEntry | None = None) -> bool:
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                "DELETE FROM subscriptions WHERE id = ? RETURNING tenant", (subscription_id,)
            )
            if not (was_there := bool(list(rows))):
                return False
            await connection.execute("DELETE FROM signing_keys WHERE owner = ?", (subscription_id,))
            await connection.execute(_GIVE_UP, ("the subscription was removed", subscription_id))
            await insert(connection, audit)
        return was_there

    @override
    async def enable(
        self, subscription_id: str, disabled: str | None, audit: AuditEntry | None = None
    ) -> bool:
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                f"UPDATE subscriptions SET disabled = ?, after_seq = {LATEST} "  # noqa: S608
                "WHERE id = ? RETURNING id",
                (disabled, subscription_id),
            )
            if not list(rows):
                return False
            if disabled is not None:
                await connection.execute(_GIVE_UP, (disabled, subscription_id))
            await insert(connection, audit)
        return True

    @override
    async def key(self, tenant: str, owner: str) -> bytes | None:
        row = await self._database.fetch_one(
            "SELECT key FROM signing_keys WHERE tenant = ? AND owner = ?", (tenant, owner)
        )
        if row is None:
            return None
        try:
            return self._keys.decrypt(row["key"], key_context(tenant, owner))
        except SecretKeyError as error:
            raise SecretKeyError(f"the signing secret cannot be read: {error.message}") from error

    @override
    async def set_key(
        self,
        tenant: str,
        owner: str,
        key: bytes,
        old_until: datetime | None,
        audit: AuditEntry | None = None,
    ) -> None:
        async with self._database.transaction() as connection:
            await self._put_key(connection, tenant, owner, key, old_until)
            await insert(connection, audit)

    async def _put_key(
        self,
        connection: aiosqlite.Connection,
        tenant: str,
        owner: str,
        key: bytes,
        old_until: datetime | None,
    ) -> None:
        try:
            content = self._keys.encrypt(key, key_context(tenant, owner))
        except OSError as error:
            raise SecretKeyError(f"the key file cannot be made: {error}") from error
        old = "signing_keys.key, " if old_until else "NULL, "
        await connection.execute(
            "INSERT INTO signing_keys (tenant, owner, key) VALUES (?, ?, ?) "  # noqa: S608
            "ON CONFLICT (tenant, owner) DO UPDATE "
            f"SET (old_key, old_until, key) = ({old} ?, excluded.key)",
            (tenant, owner, content, format_time(old_until)),
        )

    @override
    async def enqueue_one(self, message: Message, now: datetime) -> int:
        rows = await self._database.write(
            f"{ADD_MESSAGE} RETURNING number", message_row(message, now)
        )
        return int(rows[0]["number"])

    @override
    async def deliveries(
        self,
        channel: Channel | None = None,
        *,
        owner: str | None = None,
        tenant: str | None = None,
        state: DeliveryState | None = None,
        message_id: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        rows = await self._database.fetch_all(
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries "  # noqa: S608 - constants
            "WHERE owner = coalesce(?, owner) AND tenant = coalesce(?, tenant) "
            "AND channel = coalesce(?, channel) AND state = coalesce(?, state) "
            "AND message_id = coalesce(?, message_id) "
            "ORDER BY number DESC LIMIT ?",
            (owner, tenant, channel, state, message_id, limit),
        )
        return [delivery_from_row(row) for row in rows]

    @override
    async def redeliver(
        self, message_ids: Sequence[str], now: datetime, audit: AuditEntry | None = None
    ) -> list[str]:
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                "UPDATE deliveries SET state = 'pending', attempts = 0, due_at = ? "
                "WHERE message_id IN (SELECT value FROM json_each(?)) AND state != 'pending' "
                "AND (owner = '' OR owner IN (SELECT id FROM subscriptions WHERE disabled IS NULL))"
                " RETURNING message_id",
                (format_time(now), as_json_list(message_ids)),
            )
            found = [row["message_id"] for row in rows]
            if found:
                await insert(connection, audit)
        return found


async def unusable_keys(database: Database, keys: SecretKeys) -> list[tuple[str, str, str]]:
    """Signing keys that cannot be decrypted: tenant, owner (`jobs` for what jobs ask for), why."""
    found = []
    for row in await database.fetch_all("SELECT tenant, owner, key FROM signing_keys"):
        try:
            keys.decrypt(row["key"], key_context(row["tenant"], row["owner"]))
        except SecretKeyError as error:
            found.append((row["tenant"], row["owner"] or "jobs", error.message))
    return found
