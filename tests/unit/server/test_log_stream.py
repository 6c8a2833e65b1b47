"""From a cursor to events: replay and live, many watchers, and the end."""

import asyncio
import gc

import pytest

from ci_common.events import CompleteEvent, LogEvent, StatusEvent
from ci_common.job import JobStatus
from ci_common.ports.rows import Ending
from ci_server.apis.native.sse import LogEventCache, encoded_events
from ci_server.streams import log_stream
from ci_server.streams.log_stream import CHUNK_BYTES
from support.jobs import NOON, a_job
from support.stream_world import (
    PASSED,
    TEXT,
    NoSignals,
    World,
    assert_ids_are_offsets,
    joined,
)
from support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    world = await World().open(tmp_path)
    yield world
    await world.database.close()


# ------------------------------------------------------------------ replay, live, resume


async def test_a_finished_job_is_replayed(world):
    job = await world.job(b"one\n", b"two\n", finish=True)
    events = await world.watch(job)
    assert events == [LogEvent(b"one\ntwo\n", 8), CompleteEvent(job)]


async def test_the_life_of_a_job_is_told_in_order(world):
    job = a_job()
    await world.jobs.add(job)
    seen = []

    async def watch():
        async for event in world.streams.events(job, 0):
            seen.append(event)

    watching = asyncio.create_task(watch())
    log = world.logs.open(job.job_id)
    await until(lambda: len(seen), lambda count: count == 1, "queued, and where")
    await world.moves.claim(job.job_id)
    await until(lambda: len(seen), lambda count: count == 2, "initializing")
    log.append(b"installing\n")
    await until(lambda: len(seen), lambda count: count == 3, "the set-up's output")
    await world.moves.mark_running(job.job_id, NOON)
    await until(lambda: len(seen), lambda count: count == 4, "running")
    log.append(b"hello\n")
    await world.moves.finish(job.job_id, Ending(PASSED, log.size), NOON)
    await watching
    log.close()
    assert seen[:4] == [
        StatusEvent(JobStatus.QUEUED, 1),
        StatusEvent(JobStatus.INITIALIZING),
        LogEvent(b"installing\n", 11),
        StatusEvent(JobStatus.RUNNING),
    ]
    assert joined(seen) == b"installing\nhello\n"
    assert isinstance(seen[-1], CompleteEvent)
    assert seen[-1].job.outcome == PASSED


async def test_a_queued_watcher_is_told_its_place_among_its_tenants_jobs(world):
    async def queued(**options):
        job = a_job(**options)
        await world.jobs.add(job)
        return job

    for _ in range(3):
        await queued(tenant="another", priority=10)
    first = await queued()
    job = await queued()
    places = []

    async def watch():
        async for event in world.streams.events(job, 0):
            if isinstance(event, StatusEvent):
                places.append((event.status, event.position))

    watching = asyncio.create_task(watch())
    try:
        for place, change in [
            (2, queued()),  # later, and so behind it
            (2, queued(tenant="another")),
            (2, queued(priority=9)),
            (3, world.moves.claim(first.job_id)),
            (2, world.moves.claim(job.job_id)),
        ]:
            await until(
                lambda: places,
                lambda seen, at=place: seen[-1:] == [(JobStatus.QUEUED, at)],
                "place",
            )
            await change
        await until(
            lambda: places, lambda seen: seen[-1] == (JobStatus.INITIALIZING, None), "its start"
        )
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    queued_at = [place for status, place in places if status is JobStatus.QUEUED]
    assert queued_at == [2, 3, 2], "each change once, and none for another tenant's jobs"


async def test_each_watcher_of_a_queued_job_is_told_its_place_at_once(world):
    job = a_job()
    await world.jobs.add(job)
    early, late = world.streams.events(job, 0), world.streams.events(job, 0)
    try:
        assert await anext(early) == StatusEvent(JobStatus.QUEUED, 1)
        assert await anext(late) == StatusEvent(JobStatus.QUEUED, 1)
    finally:
        await early.aclose()
        await late.aclose()


async def test_resuming_at_every_offset_gives_exactly_the_rest(world, monkeypatch):
    monkeypatch.setattr(log_stream, "CHUNK_BYTES", 16)
    content = TEXT.encode() + b"\xff\n" + TEXT.encode()
    job = await world.job(content, finish=True)
    for offset in range(len(content) + 1):
        events = await world.watch(job, offset)
        assert joined(events) == content[offset:]
        assert_ids_are_offsets(events, offset)
        assert isinstance(events[-1], CompleteEvent)


async def test_resuming_after_any_event_repeats_nothing(world, monkeypatch):
    monkeypatch.setattr(log_stream, "CHUNK_BYTES", 8)
    job = await world.job(TEXT.encode(), finish=True)
    events = await world.watch(job)
    for number, event in enumerate(events[:-1]):
        assert await world.watch(job, event.end_offset) == events[number + 1 :]


async def test_events_are_bounded_and_few(world):
    line = b"x" * 69 + b"\n"
    job = await world.job(*[line * 1000] * 10, finish=True)
    events = await world.watch(job)
    assert joined(events) == line * 10_000
    logs = events[:-1]
    assert all(len(event.content) <= CHUNK_BYTES for event in logs)
    assert len(logs) <= 2 * (700_000 // CHUNK_BYTES + 1), "large events, not many small ones"


async def test_live_bytes_come_once_and_in_order(world):
    job = await world.job()
    watching = asyncio.create_task(world.watch(job))
    pieces = [b"%d " % number * (number % 50 + 1) for number in range(300)]
    for piece in pieces:
        await asyncio.to_thread(world.log.append, piece)
    await world.finish(job.job_id)
    events = await watching
    assert joined(events) == b"".join(pieces)
    assert_ids_are_offsets(events)


async def test_without_any_signal_polling_completes(tmp_path):
    world = await World().open(tmp_path, NoSignals())
    try:
        job = await world.job(b"one ")
        watching = asyncio.create_task(world.watch(job))
        await asyncio.sleep(0.01)
        world.log.append(b"two")
        await world.finish(job.job_id)
        events = await watching
        assert joined(events) == b"one two"
        assert isinstance(events[-1], CompleteEvent)
    finally:
        await world.database.close()


async def test_a_database_that_fails_for_a_while_is_asked_again(world, monkeypatch, caplog):
    job = await world.job(b"one")
    real, failed = world.jobs.get, []

    async def fails_first(job_id):
        if len(failed) < 3:
            failed.append(job_id)
            raise ZeroDivisionError
        return await real(job_id)

    monkeypatch.setattr(world.jobs, "get", fails_first)
    watching = asyncio.create_task(world.watch(job))
    await until(lambda: len(failed) == 3, what="three failures")
    monkeypatch.undo()
    await world.finish(job.job_id)
    assert joined(await watching) == b"one"
    assert "cannot read its state; retrying" in caplog.text


# ------------------------------------------------------------------ many watchers


async def test_watchers_share_one_watch_and_leave_nothing(world):
    job = await world.job(b"one ")
    watching = [asyncio.create_task(world.watch(job)) for _ in range(50)]
    await until(lambda: world.streams._watches, what="a watch")
    watch = world.streams._watches[job.job_id]
    await until(lambda: watch.watchers, lambda count: count == 50, "50 watchers")
    assert len(world.signals._subscriptions[job.job_id]) <= 1
    world.log.append(b"two")
    await world.finish(job.job_id)
    assert {joined(events) for events in await asyncio.gather(*watching)} == {b"one two"}
    assert world.streams._watches == {}
    await until(lambda: not world.signals._subscriptions, what="no subscription")


async def test_a_watcher_that_goes_away_is_forgotten(world):
    job = await world.job(b"one")
    watching = [asyncio.create_task(world.watch(job)) for _ in range(3)]
    await until(
        lambda: [watch.watchers for watch in world.streams._watches.values()],
        lambda counts: counts == [3],
        "three watchers",
    )
    for task in watching:
        task.cancel()
    await asyncio.wait(watching)
    assert world.streams._watches == {}
    await until(lambda: not world.signals._subscriptions, what="no subscription")


async def test_a_response_that_is_closed_in_the_middle_is_forgotten(world):
    job = await world.job(b"one")
    body = encoded_events(job.job_id, world.streams.events(job, 0), LogEventCache(), 0)
    while b"one" not in await anext(body):
        pass
    assert len(world.streams._watches) == 1
    await body.aclose()
    assert world.streams._watches == {}, "at once, not when the garbage collector comes"
    gc.collect()


async def test_a_late_watcher_of_a_watched_job_misses_nothing(world):
    job = await world.job(b"one ")
    first = asyncio.create_task(world.watch(job))
    await until(lambda: world.streams._watches, what="a watch")
    world.log.append(b"two ")
    stale = job
    second = asyncio.create_task(world.watch(stale))
    world.log.append(b"three")
    await world.finish(job.job_id)
    assert joined(await first) == joined(await second) == b"one two three"
