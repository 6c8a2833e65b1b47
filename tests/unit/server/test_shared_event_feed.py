"""Readers of job events share one look at the database, and each gets exactly what is theirs."""

import asyncio
import random
from contextlib import aclosing

import pytest

from ci_common.errors import EventsGoneError
from ci_common.job import Visibility
from ci_common.job_events import EventCursor
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending
from ci_persistence.sqlite.events import SqliteJobEvents
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_server.streams import event_feed
from ci_server.streams.event_feed import EventFeed
from support.event_readers import EventReader
from support.jobs import NOON
from support.rows import PASSED, Rows
from support.waiting import until

pytestmark = pytest.mark.anyio

SCOPES = [
    JobScope(),
    JobScope("acme"),
    JobScope("acme", "ann"),
    JobScope("acme", "ann", others=(Visibility.TENANT,)),
    JobScope("acme", "bob", others=(Visibility.TENANT, Visibility.VIEWERS)),
    JobScope("other"),
]
SECONDS = 30.0


class CountedEvents(SqliteJobEvents):
    """Counts how often the database is asked."""

    asked = 0

    async def after(self, cursor, scope, limit):
        self.asked += 1
        return await super().after(cursor, scope, limit)


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    rows.events = CountedEvents(rows.database)
    rows.retention = SqliteJobRetention(rows.database, "me")
    rows.feed = EventFeed(rows.events, rows.signals)
    yield rows
    await rows.database.close()


async def life(rows, rng, *, deletes=True):
    """What happens to one job, of one of a few users."""
    job_id = await rows.add(
        tenant=rng.choice(["acme", "other"]),
        user=rng.choice(["ann", "bob"]),
        visibility=rng.choice([*Visibility]),
    )
    if rng.random() < 0.7:
        await rows.transitions.claim(job_id)
        await rows.transitions.mark_running(job_id, NOON)
        await rows.transitions.finish(job_id, Ending(PASSED, 1), NOON)
        if deletes and rng.random() < 0.3:
            await rows.retention.delete_jobs([job_id])
    return job_id


class Reader:
    """Reads one scope in a task of its own, until it is stopped."""

    def __init__(self, rows, cursor, scope):
        self.seen, self.cursor, self.gone = [], cursor, 0
        self._rows, self._scope = rows, scope
        self.task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            try:
                async with aclosing(self._rows.feed.follow(self.cursor, self._scope)) as batches:
                    async for batch in batches:
                        self.seen += batch.events
                        self.cursor = batch.cursor
            except EventsGoneError as error:
                self.gone += 1
                self.cursor = error.resume

    async def stop(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled(), self.task.exception()


@pytest.mark.parametrize("remembered", [1, 7, 2000])
@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_every_event_once_and_in_order(rows, scope, remembered, monkeypatch):
    """Also for those who come, leave and resume, whatever is remembered of what they missed."""
    monkeypatch.setattr(event_feed, "_MOST_REMEMBERED", remembered)
    rng = random.Random(f"{scope}{remembered}")
    plain = await EventReader(rows.database, scope=scope).begin()
    steady = Reader(rows, plain.cursor, scope)
    restless = Reader(rows, plain.cursor, scope)
    for _ in range(25):
        await life(rows, rng, deletes=False)
        if rng.random() < 0.3:
            await restless.stop()
            seen = restless.seen
            await life(rows, rng, deletes=False)
            restless = Reader(rows, restless.cursor, scope)
            restless.seen = seen
    await plain.read()
    for reader in (steady, restless):
        await until(lambda reader=reader: len(reader.seen) >= len(plain.seen), what="all events")
        await reader.stop()
        assert reader.seen == plain.seen
        assert reader.gone == 0
    assert {scope.covers(event) for event in plain.seen} == {True}


async def test_deletions_are_told_in_their_place_or_as_gone(rows):
    """In their place to a reader that was there; a late one is told first that it missed events."""
    rng = random.Random(5)
    scope = JobScope("acme")
    start = await rows.events.latest()
    live = Reader(rows, start, scope)
    for _ in range(30):
        await life(rows, rng)
    mark = await rows.add(tenant="acme")
    rows.feed = EventFeed(rows.events, rows.signals)  # as in a process that remembers nothing
    late = Reader(rows, start, scope)
    for reader in (live, late):
        await until(
            lambda reader=reader: any(event.job_id == mark for event in reader.seen),
            what="the last event",
        )
        await reader.stop()
        numbers = [event.seq for event in reader.seen]
        assert numbers == sorted(set(numbers))
    deleted, of_late = (
        {event.job_id for event in reader.seen if event.kind.value == "deleted"}
        for reader in (live, late)
    )
    assert deleted == of_late
    assert deleted
    assert late.gone == 1, "events that this reader had not seen were removed"


async def test_many_readers_cost_as_much_as_one(rows):
    start = await rows.events.latest()
    readers = [Reader(rows, start, scope) for scope in SCOPES * 50]
    await until(lambda: rows.feed._recent is not None, what="the shared look")
    rng = random.Random(3)
    jobs = [await life(rows, rng, deletes=False) for _ in range(20)]
    everything = [reader for reader in readers if reader._scope == JobScope()]
    await until(
        lambda: all({e.job_id for e in reader.seen} == {*jobs} for reader in everything),
        what="all events",
    )
    first_looks = len(readers)
    assert rows.events.asked < first_looks + 400
    for reader in readers:
        await reader.stop()
    assert rows.feed._task is None
    await until(lambda: not rows.signals._subscriptions, what="the end of the shared look")


async def test_another_stream_is_gone(rows):
    feed = rows.feed.follow(EventCursor("another", 3), JobScope())
    with pytest.raises(EventsGoneError):
        await anext(feed)


async def test_a_cursor_from_before_an_older_copy_of_the_database_is_gone(rows):
    """Also when others read already, and the shared look knows no more than they do."""
    latest = await rows.events.latest()
    others = Reader(rows, latest, JobScope())
    await until(lambda: rows.feed._recent is not None, what="the shared look")
    feed = rows.feed.follow(EventCursor(latest.stream, latest.seq + 100), JobScope())
    with pytest.raises(EventsGoneError) as error:
        await asyncio.wait_for(anext(feed), SECONDS)
    assert error.value.resume == latest
    await others.stop()
