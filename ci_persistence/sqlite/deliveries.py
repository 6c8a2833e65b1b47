"""Messages to deliver, for the process that holds the lease (port DeliveryQueue)."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from sqlite3 import Row

from typing_extensions import override

from ci_common.deliveries import (
    OF_JOBS,
    RETRY_SECONDS,
    TEST_TYPE,
    Attempt,
    Delivery,
    DeliveryState,
    Message,
    NotifiedJob,
    Subscription,
)
from ci_common.errors import DatabaseError, SecretKeyError
from ci_common.job import format_time
from ci_common.job_events import EventCursor
from ci_common.ports.delivery import DeliveryQueue
from ci_common.webhook_signing import new_signing_key
from ci_persistence.database.database import Database
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.delivery_rows import (
    ADD_IF_WANTED,
    DELIVERY_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    as_json_list,
    delivery_from_row,
    key_context,
    message_row,
    subscription_from_row,
)
from ci_persistence.sqlite.lease import HOLDS_LEASE

MOST_PENDING = 2_000
MOST_ENDED = 5_000
"""Of a tenant."""

_BATCH = 500
_BELIEVED = timedelta(days=1)
"""A message that is due later than that was postponed before the clock was set back."""


class SqliteDeliveries(DeliveryQueue):
    """Of one database, for `holder`."""

    def __init__(self, database: Database, keys: SecretKeys, holder: str) -> None:
        self._database = database
        self._keys = keys
        self._holder = holder

    @override
    async def cursor(self) -> EventCursor:
        row = await self._database.fetch_one("SELECT cursor FROM delivery_cursor")
        if row is None:
            raise DatabaseError(
                f"the database {self._database.path} has lost the cursor of its notifications; "
                "restore a backup"
            )
        return EventCursor.parse(row["cursor"])

    @override
    async def subscriptions(self) -> list[Subscription]:
        rows = await self._database.fetch_all(
            f"SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions "  # noqa: S608 - constants
            "WHERE disabled IS NULL ORDER BY created_at, id"
        )
        return [subscription_from_row(row) for row in rows]

    @override
    async def jobs(self, job_ids: Collection[str]) -> Mapping[str, NotifiedJob]:
        rows = await self._database.fetch_all(
            "SELECT job_id, name, json_extract(spec, '$.title') AS title, "
            "json_extract(spec, '$.labels') AS labels, json_extract(spec, '$.notify') AS notify "
            "FROM jobs WHERE job_id IN (SELECT value FROM json_each(?))",
            (as_json_list(job_ids),),
        )
        return {
            row["job_id"]: NotifiedJob(
                row["name"],
                row["title"],
                json.loads(row["labels"] or "{}"),
                tuple(json.loads(row["notify"] or "[]")),
            )
            for row in rows
        }

    @override
    async def enqueue(
        self, messages: Sequence[Message], before: EventCursor, after: EventCursor, now: datetime
    ) -> bool:
        async with self._database.transaction() as connection:
            moved = await connection.execute_fetchall(
                "UPDATE delivery_cursor SET cursor = ? "  # noqa: S608 - constants
                f"WHERE cursor = ? AND {HOLDS_LEASE} RETURNING id",
                (str(after), str(before), self._holder),
            )
            if not list(moved):
                return False
            await connection.executemany(
                ADD_IF_WANTED, [message_row(message, now) for message in messages]
            )
        return True

    @override
    async def due(self, now: datetime, skip: Collection[str], of_tenant: int) -> list[Delivery]:
        rows = await self._database.fetch_all(
            "WITH first AS (SELECT min(number) AS number, tenant "  # noqa: S608 - constants
            "FROM deliveries WHERE state = 'pending' AND (due_at <= ? OR due_at > ?) "
            "AND lane NOT IN (SELECT value FROM json_each(?)) GROUP BY lane), "
            "ranked AS (SELECT number, row_number() OVER (PARTITION BY tenant ORDER BY number) "
            "AS rank FROM first) "
            f"SELECT {DELIVERY_COLUMNS} FROM deliveries WHERE number IN ("
            "SELECT number FROM ranked WHERE rank <= ?) ORDER BY number",
            (format_time(now), format_time(now + _BELIEVED), as_json_list(skip), of_tenant),
        )
        return [delivery_from_row(row) for row in rows]

    @override
    async def note(self, delivery: Delivery, attempt: Attempt, now: datetime) -> bool:
        attempts = delivery.attempts + 1
        final = attempt.final or delivery.message.type == TEST_TYPE
        state, due_at = _after(replace(attempt, final=final), attempts, now)
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                "UPDATE deliveries SET state = ?, attempts = ?, due_at = ?, "  # noqa: S608
                "attempted_at = ?, status_code = ?, error = ? WHERE number = ? "
                f"AND state = 'pending' AND attempts = ? AND {HOLDS_LEASE} RETURNING number",
                (
                    *(state.value, attempts, format_time(due_at), format_time(now)),
                    *(attempt.status_code, attempt.error),
                    *(delivery.number, delivery.attempts, self._holder),
                ),
            )
            if attempt.disable and list(rows):
                await connection.execute(
                    "UPDATE subscriptions SET disabled = ? WHERE id = ? AND disabled IS NULL",
                    (attempt.error, delivery.message.owner),
                )
                await connection.execute(
                    "UPDATE deliveries SET state = 'failed', due_at = NULL, error = ? "
                    "WHERE owner = ? AND state = 'pending'",
                    (attempt.error, delivery.message.owner),
                )
        return bool(list(rows))

    @override
    async def signing_keys(self, message: Message, now: datetime) -> list[bytes]:
        place = (message.tenant, message.owner)
        row = await self._key_row(place)
        if row is None and message.owner == OF_JOBS:
            await self._make_key(place)
            row = await self._key_row(place)
        if row is None:
            raise SecretKeyError(
                f"there is no signing secret: `ci-admin webhook rotate {message.owner}` makes one"
            )
        keys = [row["key"]]
        if row["old_key"] is not None and str(format_time(now)) < row["old_until"]:
            keys.append(row["old_key"])
        return [self._keys.decrypt(key, key_context(*place)) for key in keys]

    async def _key_row(self, place: tuple[str, str]) -> Row | None:
        return await self._database.fetch_one(
            "SELECT key, old_key, old_until FROM signing_keys WHERE tenant = ? AND owner = ?", place
        )

    async def _make_key(self, place: tuple[str, str]) -> None:
        try:
            key = self._keys.encrypt(new_signing_key(), key_context(*place))
        except OSError as error:
            raise SecretKeyError(f"the key file cannot be made: {error}") from error
        await self._database.write(
            "INSERT INTO signing_keys (tenant, owner, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (*place, key),
        )

    @override
    async def tidy(self, now: datetime, days: float) -> int:
        changed = 0
        for row in await self._counts("state = 'pending'", MOST_PENDING):
            changed += await self._give_up(row["tenant"], row["count"] - MOST_PENDING)
        ended = "state != 'pending'"
        for row in await self._counts(ended, MOST_ENDED):
            excess = min(row["count"] - MOST_ENDED, _BATCH)
            changed += await self._remove(f"{ended} AND tenant = ?", row["tenant"], excess)
        before = format_time(now - timedelta(days=days))
        return changed + await self._remove(f"{ended} AND created_at < ?", before, _BATCH)

    async def _counts(self, condition: str, most: int) -> list[Row]:
        return await self._database.fetch_all(
            "SELECT tenant, count(*) AS count FROM deliveries "  # noqa: S608 - constants
            f"WHERE {condition} GROUP BY tenant HAVING count(*) > ?",
            (most,),
        )

    async def _give_up(self, tenant: str, excess: int) -> int:
        rows = await self._database.write(
            "UPDATE deliveries SET state = 'failed', due_at = NULL, "  # noqa: S608 - constants
            f"error = 'given up: more than {MOST_PENDING} messages of the tenant were waiting' "
            "WHERE number IN (SELECT number FROM deliveries WHERE state = 'pending' AND tenant = ? "
            f"ORDER BY number LIMIT ?) AND {HOLDS_LEASE} RETURNING number",
            (tenant, excess, self._holder),
        )
        return len(rows)

    async def _remove(self, condition: str, parameter: str | None, limit: int) -> int:
        rows = await self._database.write(
            "DELETE FROM deliveries WHERE number IN ("  # noqa: S608 - constants
            f"SELECT number FROM deliveries WHERE {condition} ORDER BY number LIMIT ?) "
            f"AND {HOLDS_LEASE} RETURNING number",
            (parameter, limit, self._holder),
        )
        return len(rows)


def _after(attempt: Attempt, attempts: int, now: datetime) -> tuple[DeliveryState, datetime | None]:
    """The state after so many attempts, and when the next one is due."""
    if attempt.delivered:
        return DeliveryState.DELIVERED, None
    if attempt.final or attempts > len(RETRY_SECONDS):
        return DeliveryState.FAILED, None
    return DeliveryState.PENDING, now + timedelta(seconds=RETRY_SECONDS[attempts - 1])
