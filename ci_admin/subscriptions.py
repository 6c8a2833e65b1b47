"""Subscriptions and deliveries for the commands `ci-admin webhook` and `ci-admin mail`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from ci_admin.audit import operator_entry
from ci_admin.tables import table
from ci_common.deliveries import (
    NOTIFIABLE,
    OF_JOBS,
    TEST_TYPE,
    Delivery,
    DeliveryState,
    Message,
    Subscription,
    new_message_id,
)
from ci_common.errors import InvalidSubscriptionError, SubscriptionError
from ci_common.job import format_time, utc_now
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel
from ci_common.ports.audit import AuditAction
from ci_common.ports.delivery import DeliveryAdministration
from ci_controller.executors.registry import load_settings

_TEST_SECONDS = 25.0
_TEST_PAUSE_SECONDS = 0.1
_HEADINGS = ("id", "tenant", "address", "events", "created", "state")
_DELIVERY_HEADINGS = ("message", "created", "event", "job", "to", "state", "attempts", "last error")
_SHOWN_ADDRESS = 60

T = TypeVar("T")


@asynccontextmanager
async def _opened() -> AsyncIterator[DeliveryAdministration]:
    from ci_admin.instance import administered, check_directory
    from ci_persistence.files.secret_keys import SecretKeys
    from ci_persistence.sqlite.subscriptions import SqliteSubscriptions

    settings = load_settings()
    check_directory(settings)  # or the server could not decrypt what is encrypted here
    keys = SecretKeys(settings.data_path, settings.secret_keys)
    async with administered(settings) as database:
        yield SqliteSubscriptions(database, keys)


def administer(work: Callable[[DeliveryAdministration], Awaitable[T]]) -> T:
    """Do this with the instance's subscriptions."""

    async def run() -> T:
        async with _opened() as administration:
            return await work(administration)

    return asyncio.run(run())


def read_kinds(words: Sequence[str]) -> tuple[JobEventKind, ...]:
    """The kinds of these names; `all` is each that can be had. Raises InvalidSubscriptionError."""
    names = {kind.value: kind for kind in NOTIFIABLE}
    if "all" in words:
        return NOTIFIABLE
    if unknown := [word for word in words if word not in names]:
        raise InvalidSubscriptionError(
            f"{unknown[0]!r} is not an event to subscribe to; use {', '.join(names)}, or all"
        )
    return tuple(dict.fromkeys(names[word] for word in words))


async def find(
    administration: DeliveryAdministration, channel: Channel, subscription_id: str
) -> Subscription:
    """The subscription of this id. Raises SubscriptionError."""
    for one in await administration.subscriptions():
        if one.subscription_id == subscription_id and one.channel is channel:
            return one
    raise SubscriptionError(
        f"there is no {channel.value} {subscription_id!r}; `ci-admin {channel.value} list` shows "
        "them"
    )


async def remove(
    administration: DeliveryAdministration, channel: Channel, subscription_id: str
) -> None:
    """Remove a subscription. Raises SubscriptionError."""
    one = await find(administration, channel, subscription_id)
    entry = operator_entry(
        AuditAction.SUBSCRIPTION_REMOVE, tenant=one.tenant, target=subscription_id
    )
    await administration.remove(subscription_id, entry)


async def enable(
    administration: DeliveryAdministration,
    channel: Channel,
    subscription_id: str,
    disabled: str | None,
) -> None:
    """Enable a subscription, or disable it for this reason. Raises SubscriptionError."""
    one = await find(administration, channel, subscription_id)
    action = AuditAction.SUBSCRIPTION_DISABLE if disabled else AuditAction.SUBSCRIPTION_ENABLE
    entry = operator_entry(action, tenant=one.tenant, target=subscription_id)
    await administration.enable(subscription_id, disabled, entry)


async def send_test(
    administration: DeliveryAdministration, channel: Channel, subscription_id: str
) -> Delivery:
    """Have the server send a test message, and wait for what came of its first attempt.

    Raises SubscriptionError when it is disabled, or no server takes it up.
    """
    one = await find(administration, channel, subscription_id)
    if one.disabled is not None:
        raise SubscriptionError(
            f"{subscription_id} is disabled ({one.disabled}); enable it first: `ci-admin "
            f"{channel.value} enable {subscription_id}`"
        )
    message = _test_message(one, utc_now())
    await administration.enqueue_one(message, utc_now())
    deadline = time.monotonic() + _TEST_SECONDS
    while time.monotonic() < deadline:
        (delivery,) = await administration.deliveries(message_id=message.message_id)
        if delivery.attempts:
            return delivery
        await asyncio.sleep(_TEST_PAUSE_SECONDS)
    raise SubscriptionError(
        f"no server has sent the message {message.message_id} within {_TEST_SECONDS:g} s. Check "
        "that one is running, and that its CI_NOTIFICATIONS is not false; a server sends the "
        "message when it starts"
    )


def _test_message(one: Subscription, now: datetime) -> Message:
    payload = {
        "type": TEST_TYPE,
        "timestamp": format_time(now),
        "data": {"subscription": one.subscription_id, "tenant": one.tenant},
    }
    return Message(
        new_message_id(),
        one.tenant,
        one.subscription_id,
        one.channel,
        one.address,
        f"{one.subscription_id}/test",  # not behind what waits for the receiver
        TEST_TYPE,
        None,
        payload,
    )


async def redeliver(
    administration: DeliveryAdministration,
    channel: Channel,
    message_ids: Sequence[str],
    failed_of: str | None,
) -> list[str]:
    """Have these messages, and those that were given up of a subscription, delivered again.

    Raises SubscriptionError when a message cannot be.
    """
    wanted = list(message_ids)
    if failed_of is not None:
        await find(administration, channel, failed_of)
        given_up = await administration.deliveries(
            owner=failed_of, state=DeliveryState.FAILED, limit=10_000
        )
        wanted += [one.message.message_id for one in given_up]
    entry = operator_entry(AuditAction.REDELIVER, target=failed_of or ",".join(message_ids)[:200])
    done = await administration.redeliver(wanted, utc_now(), entry)
    if left := [one for one in message_ids if one not in done]:
        raise SubscriptionError(
            f"{left[0]} cannot be delivered again: there is no such message, it is still pending, "
            f"or its subscription was removed or disabled; `ci-admin {channel.value} deliveries` "
            "shows messages"
        )
    return done


# ------------------------------------------------------------------ what is printed


def subscriptions_text(found: Sequence[Subscription]) -> str:
    """A table."""
    rows = [
        (
            one.subscription_id,
            one.tenant,
            one.address,
            _wanted(one),
            str(format_time(one.created_at)),
            f"disabled: {one.disabled}" if one.disabled else "enabled",
        )
        for one in found
    ]
    return table(_HEADINGS, rows)


def _wanted(one: Subscription) -> str:
    words = ["all" if one.kinds == NOTIFIABLE else ",".join(one.kinds)]
    words += ["failures only"] if one.only_failures else []
    words += ["with private jobs"] if one.private else []
    return "; ".join(words)


def subscriptions_json(found: Sequence[Subscription]) -> str:
    """The same as JSON."""
    return json.dumps([_subscription_fields(one) for one in found], indent=2)


def _subscription_fields(one: Subscription) -> dict[str, Any]:
    return {
        "id": one.subscription_id,
        "tenant": one.tenant,
        "address": one.address,
        "events": [kind.value for kind in one.kinds],
        "private": one.private,
        "only_failures": one.only_failures,
        "created_at": format_time(one.created_at),
        "disabled": one.disabled,
    }


def deliveries_text(found: Sequence[Delivery]) -> str:
    """A table, oldest first."""
    rows = [
        (
            one.message.message_id,
            str(format_time(one.created_at)),
            one.message.type,
            one.message.job_id or "-",
            one.message.owner or one.message.address[:_SHOWN_ADDRESS],
            one.state.value,
            str(one.attempts),
            one.error or "",
        )
        for one in reversed(found)
    ]
    return table(_DELIVERY_HEADINGS, rows)


def deliveries_json(found: Sequence[Delivery]) -> str:
    """The same as JSON, with payloads."""
    return json.dumps([_delivery_fields(one) for one in reversed(found)], indent=2)


def _delivery_fields(one: Delivery) -> dict[str, Any]:
    return {
        "number": one.number,
        "message_id": one.message.message_id,
        "tenant": one.message.tenant,
        "subscription": None if one.message.owner == OF_JOBS else one.message.owner,
        "address": one.message.address,
        "type": one.message.type,
        "job_id": one.message.job_id,
        "created_at": format_time(one.created_at),
        "state": one.state.value,
        "attempts": one.attempts,
        "due_at": format_time(one.due_at),
        "attempted_at": format_time(one.attempted_at),
        "status_code": one.status_code,
        "error": one.error,
        "payload": one.message.payload,
    }
