"""Subscriptions and deliveries as rows, both ways."""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from ci_common.deliveries import Delivery, DeliveryState, Message, Subscription
from ci_common.job import format_time, parse_time
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel
from ci_persistence.sqlite.events import LATEST

SUBSCRIPTION_COLUMNS = (
    "id, tenant, channel, address, kinds, private, only_failures, after_seq, disabled, created_at"
)
DELIVERY_COLUMNS = (
    "number, message_id, tenant, owner, channel, address, lane, type, job_id, payload, created_at, "
    "state, attempts, due_at, attempted_at, status_code, error"
)
_ADD = (
    "INSERT INTO deliveries (message_id, tenant, owner, channel, address, lane, type, job_id, "
    "payload, created_at, due_at)"
)
ADD_MESSAGE = f"{_ADD} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_IF_WANTED = (
    f"{_ADD} SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE ?3 = '' "  # noqa: S608 - constants
    "OR EXISTS (SELECT 1 FROM subscriptions WHERE id = ?3 AND disabled IS NULL)"
)
"""The same, unless its subscription has been removed or disabled since the message was made."""

FORGET_FORMER_EVENTS = (
    f"UPDATE delivery_cursor SET cursor = (SELECT stream || '.' || {LATEST} FROM event_stream)",  # noqa: S608 - constants
    "UPDATE deliveries SET state = 'failed', due_at = NULL, error = "
    "'not sent: a backup was restored, and it may have been delivered before' "
    "WHERE state = 'pending'",
)
"""To execute after a backup was put in place: what happened before is not sent again."""

DISABLE_ALL = (
    "UPDATE subscriptions SET disabled = 'this instance is a copy of another one' "
    "WHERE disabled IS NULL"
)


def key_context(tenant: str, owner: str) -> str:
    """What a signing key is encrypted for."""
    return f"tenant {tenant!r} signing key of {owner or 'jobs'}"


def subscription_from_row(row: sqlite3.Row) -> Subscription:
    """One of `SUBSCRIPTION_COLUMNS`."""
    return Subscription(
        row["id"],
        row["tenant"],
        Channel(row["channel"]),
        row["address"],
        tuple(JobEventKind(kind) for kind in json.loads(row["kinds"])),
        datetime.fromisoformat(row["created_at"]),
        bool(row["private"]),
        bool(row["only_failures"]),
        row["after_seq"],
        row["disabled"],
    )


def message_row(message: Message, now: datetime) -> tuple[str | None, ...]:
    """The values of `ADD_MESSAGE` and `ADD_IF_WANTED`: it is due at once."""
    return (
        message.message_id,
        message.tenant,
        message.owner,
        message.channel.value,
        message.address,
        message.lane,
        message.type,
        message.job_id,
        json.dumps(message.payload),
        format_time(now),
        format_time(now),
    )


def delivery_from_row(row: sqlite3.Row) -> Delivery:
    """One of `DELIVERY_COLUMNS`."""
    message = Message(
        row["message_id"],
        row["tenant"],
        row["owner"],
        Channel(row["channel"]),
        row["address"],
        row["lane"],
        row["type"],
        row["job_id"],
        json.loads(row["payload"]),
    )
    return Delivery(
        row["number"],
        message,
        datetime.fromisoformat(row["created_at"]),
        DeliveryState(row["state"]),
        row["attempts"],
        parse_time(row["due_at"]),
        parse_time(row["attempted_at"]),
        row["status_code"],
        row["error"],
    )


def as_json_list(words: Iterable[str]) -> str:
    """A parameter for `json_each`."""
    return json.dumps(list(words))
