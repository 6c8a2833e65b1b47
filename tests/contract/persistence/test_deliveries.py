"""Subscriptions and messages as rows (ports DeliveryQueue, DeliveryAdministration)."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.deliveries import (
    NOTIFIABLE,
    OF_JOBS,
    RETRY_SECONDS,
    Attempt,
    DeliveryState,
    Message,
    Subscription,
    new_message_id,
)
from ci_common.errors import SecretKeyError
from ci_common.job import JobStatus
from ci_common.job_events import EventCursor, JobEventKind
from ci_common.notify_targets import Channel
from ci_common.ports.rows import Ending
from ci_persistence.database.database import Database
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite import deliveries as rows_of_deliveries
from ci_persistence.sqlite.deliveries import SqliteDeliveries
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.subscriptions import SqliteSubscriptions
from support.backups import back_up, restore
from support.instances import Instance
from support.jobs import NOON, a_job
from support.rows import CANCELLED

OK, BAD = Attempt(True, 200), Attempt(False, 500, "answered 500")
LATER = NOON + timedelta(days=2)


@pytest.fixture
def keys(tmp_path):
    return SecretKeys(tmp_path, None)


@pytest.fixture
def queue(rows, keys):
    return SqliteDeliveries(rows.database, keys, "me")


@pytest.fixture
def admin(rows, keys):
    return SqliteSubscriptions(rows.database, keys)


def a_subscription(number=1, tenant="acme", **options):
    kinds = options.pop("kinds", NOTIFIABLE)
    name, url = f"wh_{number}", f"https://example.com/{number}"
    return Subscription(name, tenant, Channel.WEBHOOK, url, kinds, NOON, **options)


def a_message(lane="wh_1", tenant="acme", job_id=None, **options):
    values = {
        "owner": OF_JOBS,
        "channel": Channel.WEBHOOK,
        "address": "https://example.com/",
        **options,
    }
    return Message(
        new_message_id(),
        tenant,
        lane=lane,
        type="job.finished",
        job_id=job_id,
        payload={"a": "\u00fc", "b": 1},
        **values,
    )


async def add(queue, *messages, now=NOON):
    at = await queue.cursor()
    assert await queue.enqueue(messages, at, EventCursor(at.stream, at.seq + 1), now)


async def due(queue, now=NOON, skip=(), of_tenant=9):
    found = await queue.due(now, skip, of_tenant)
    return [one.message for one in found]


async def state_of(admin, message):
    (one,) = await admin.deliveries(message_id=message.message_id)
    return one.state


@pytest.mark.anyio
async def test_events_are_enqueued_once_and_by_the_leader_alone(rows, queue, keys):
    first = await queue.cursor()
    assert first == await SqliteJobEvents(rows.database).latest()
    later = EventCursor(first.stream, first.seq + 3, reported=first.seq + 5)
    message = a_message()
    assert await queue.enqueue([message], first, later, NOON)
    assert await queue.cursor() == later
    assert not await queue.enqueue([a_message()], first, later, NOON), "these were enqueued"
    other = SqliteDeliveries(rows.database, keys, "other")
    assert not await other.enqueue([a_message()], later, later, NOON)
    assert await due(queue) == [message]
    (delivery,) = await queue.due(NOON, (), 9)
    assert not await other.note(delivery, OK, NOON)
    assert await other.tidy(LATER + timedelta(days=99), 1) == 0
    assert await due(queue) == [message]


@pytest.mark.anyio
async def test_of_each_lane_the_oldest_and_no_tenant_has_it_all(queue):
    messages = [a_message(f"wh_{number}") for number in (1, 1, 2, 3, 4)]
    other = a_message("wh_9", "zeta")
    await add(queue, *messages, other)
    assert await due(queue) == [messages[0], *messages[2:], other]
    assert await due(queue, of_tenant=2) == [messages[0], messages[2], other]
    assert await due(queue, skip={"wh_1", "wh_9"}) == messages[2:]


@pytest.mark.anyio
async def test_attempts_until_it_is_given_up(queue, admin):
    message, younger = a_message(), a_message()
    await add(queue, message, younger)
    now = NOON
    for pause in (*RETRY_SECONDS, None):
        (delivery,) = [one for one in await queue.due(now, (), 9) if one.message == message]
        assert await queue.note(delivery, BAD, now)
        assert not await queue.note(delivery, OK, now), "somebody else noted it"
        if pause is not None:
            assert await due(queue, now) == [younger], "it does not wait for the older one"
            assert await due(queue, now + timedelta(seconds=pause - 0.01)) == [younger]
            now += timedelta(seconds=pause)
    (told,) = await admin.deliveries(message_id=message.message_id)
    assert (told.state, told.attempts, told.status_code, told.error, told.due_at) == (
        *(DeliveryState.FAILED, len(RETRY_SECONDS) + 1, 500, "answered 500"),
        None,
    )
    assert timedelta(days=1) < now - NOON < timedelta(days=2)


@pytest.mark.anyio
async def test_a_clock_that_was_set_back_postpones_nothing_for_long(queue):
    message = a_message()
    await add(queue, message, now=NOON + timedelta(days=400))
    assert await due(queue, NOON) == [message]


@pytest.mark.anyio
async def test_final_failures_and_receivers_that_are_gone(queue, admin):
    await admin.add(a_subscription(), b"k" * 32)
    first, second = a_message(owner="wh_1"), a_message(owner="wh_1")
    await add(queue, first, second)
    (delivery,) = await queue.due(NOON, (), 9)
    assert await queue.note(delivery, Attempt(False, 410, "gone", final=True, disable=True), NOON)
    assert [one.disabled for one in await admin.subscriptions()] == ["gone"]
    assert await queue.subscriptions() == []
    assert await due(queue, LATER) == []
    assert await admin.redeliver([second.message_id], NOON) == [], "it would not arrive"
    assert await admin.enable("wh_1", None)
    assert await admin.redeliver([second.message_id, "msg_x"], NOON) == [second.message_id]
    assert await due(queue) == [second]
    assert await admin.redeliver([second.message_id], NOON) == [], "it is pending"


@pytest.mark.anyio
async def test_subscriptions_begin_when_they_are_made_and_end_when_they_are_removed(
    rows, queue, admin
):
    await rows.add(tenant="acme")
    await admin.add(a_subscription(1, private=True, only_failures=True), b"k" * 32)
    await admin.add(a_subscription(2, "zeta", kinds=(JobEventKind.DELETED,)), None)
    latest = (await SqliteJobEvents(rows.database).latest()).seq
    one, other = await admin.subscriptions()
    assert (one, other) == tuple(await queue.subscriptions())
    assert (one.after_seq, one.private, one.only_failures, one.kinds) == (
        *(latest, True, True),
        NOTIFIABLE,
    )
    assert await admin.subscriptions("zeta") == [other]
    await rows.add()
    assert await admin.enable("wh_1", "off")
    assert await admin.enable("wh_1", None)
    (one,) = await admin.subscriptions("acme")
    assert one.after_seq == (await SqliteJobEvents(rows.database).latest()).seq
    message = a_message(owner="wh_1")
    await add(queue, message)
    assert await admin.remove("wh_1")
    assert not await admin.remove("wh_1")
    assert not await admin.enable("wh_1", None)
    assert await state_of(admin, message) is DeliveryState.FAILED
    assert await admin.key("acme", "wh_1") is None


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["remove", "disable"])
async def test_a_message_that_was_made_before_its_subscription_ended_is_not_sent(queue, admin, end):
    await admin.add(a_subscription(1), None)
    await admin.add(a_subscription(2), None)
    messages = [a_message(f"wh_{number}", owner=f"wh_{number}") for number in (1, 2)]
    if end == "remove":
        assert await admin.remove("wh_1")
    else:
        assert await admin.enable("wh_1", "off")
    await add(queue, *messages)
    assert await due(queue) == messages[1:]


@pytest.mark.anyio
async def test_signing_keys(rows, queue, admin, tmp_path):
    await admin.add(a_subscription(), b"1" * 32)
    message = a_message(owner="wh_1")
    assert await queue.signing_keys(message, NOON) == [b"1" * 32]
    await admin.set_key("acme", "wh_1", b"2" * 32, NOON + timedelta(hours=1))
    assert await queue.signing_keys(message, NOON) == [b"2" * 32, b"1" * 32]
    assert await queue.signing_keys(message, NOON + timedelta(hours=1)) == [b"2" * 32]
    await admin.set_key("acme", "wh_1", b"3" * 32, None)
    assert await queue.signing_keys(message, NOON) == [b"3" * 32]
    (of_jobs,) = await queue.signing_keys(a_message(OF_JOBS), NOON)
    assert await admin.key("acme", OF_JOBS) == of_jobs != await admin.key("zeta", OF_JOBS)
    stored = await rows.database.fetch_all("SELECT key FROM signing_keys")
    assert all(len(row["key"]) > 32 and b"3" * 32 not in row["key"] for row in stored)
    other = SqliteDeliveries(rows.database, SecretKeys(tmp_path / "other", None), "me")
    with pytest.raises(SecretKeyError):
        await other.signing_keys(message, NOON)
    with pytest.raises(SecretKeyError, match="rotate wh_7"):
        await queue.signing_keys(a_message(owner="wh_7"), NOON)


@pytest.mark.anyio
async def test_what_is_told_of_a_job_and_what_is_left_of_a_deleted_one(rows, queue, admin):
    job = a_job(tenant="acme", title="T")
    spec = replace(job.spec, labels={"git.commit": "abc"}, notify=("https://e.com/",))
    job = replace(job, spec=spec)
    await rows.submissions.add(job)
    (told,) = (await queue.jobs([job.job_id, "gone"])).values()
    assert (told.name, told.title, told.labels, told.notify) == (
        *("test", "T", {"git.commit": "abc"}),
        ("https://e.com/",),
    )
    assert (await rows.submissions.get(job.job_id)).spec.notify == ("https://e.com/",)
    ended, pending = a_message(job_id=job.job_id), a_message("wh_2", job_id=job.job_id)
    await add(queue, ended, pending)
    await queue.note((await queue.due(NOON, (), 9))[0], OK, NOON)
    await rows.transitions.finish(job.job_id, Ending(CANCELLED, 0), NOON)
    assert await SqliteJobRetention(rows.database, "me").delete_jobs([job.job_id]) == 1
    assert [one.message for one in await admin.deliveries()] == [pending]


@pytest.mark.anyio
async def test_how_many_are_kept_and_how_long(queue, admin, monkeypatch):
    monkeypatch.setattr(rows_of_deliveries, "MOST_PENDING", 3)
    monkeypatch.setattr(rows_of_deliveries, "MOST_ENDED", 2)
    messages = [a_message(f"wh_{number}") for number in range(5)]
    kept = a_message("wh_9", "zeta")
    await add(queue, *messages, kept)
    assert await queue.tidy(NOON, 7) == 2
    assert await due(queue) == [*messages[2:], kept]
    for delivery in await queue.due(NOON, (), 9):
        await queue.note(delivery, OK, NOON)
    assert await queue.tidy(NOON, 7) == 3
    assert [one.message for one in await admin.deliveries()] == [kept, messages[4], messages[3]]
    assert await queue.tidy(NOON + timedelta(days=7), 7) == 0
    assert await queue.tidy(NOON + timedelta(days=7, seconds=1), 7) == 3
    assert await queue.tidy(NOON + timedelta(days=7, seconds=1), 7) == 0


@pytest.mark.parametrize("new_instance", [False, True])
def test_a_restored_backup_sends_nothing_again(tmp_path, new_instance):
    source, target = Instance(tmp_path / "source"), Instance(tmp_path / "target")
    message = a_message()

    async def prepare():
        async with opened(source) as (_, admin, _):
            await admin.add(a_subscription(), b"k" * 32)
            await admin.enqueue_one(message, NOON)

    async def check():
        async with opened(target) as (queue, admin, events):
            assert await queue.cursor() == await events.latest()
            (told,) = await admin.deliveries()
            assert (told.message, told.state) == (message, DeliveryState.FAILED)
            assert "restored" in told.error
            (one,) = await admin.subscriptions()
            assert (one.disabled is not None) is new_instance

    source.add(JobStatus.RUNNING, log=b"", package=b"zip")
    asyncio.run(prepare())
    back_up(source, tmp_path / "backup.tar")
    restore(target, tmp_path / "backup.tar", new_instance=new_instance)
    asyncio.run(check())


@asynccontextmanager
async def opened(instance):
    database, keys = Database(instance.database), SecretKeys(instance.data, None)
    await database.open()
    try:
        yield (
            SqliteDeliveries(database, keys, "me"),
            SqliteSubscriptions(database, keys),
            SqliteJobEvents(database),
        )
    finally:
        await database.close()
