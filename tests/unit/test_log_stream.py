"""From a cursor to events: whole characters, exact bytes, replay and live, and the end."""

import asyncio
import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidOffsetError
from ci_common.events import CompleteEvent, LogEvent, StatusEvent, log_bytes
from ci_common.job import JobStatus, Outcome, Reason
from ci_common.ports.rows import Ending
from ci_persistence.database import Database
from ci_persistence.lease import SqliteControllerLease
from ci_persistence.log_store import FileLogStore
from ci_persistence.signals import ProcessJobSignals
from ci_persistence.submissions import SqliteJobSubmissions
from ci_persistence.transitions import SqliteJobTransitions
from ci_server import log_stream
from ci_server.log_stream import CHUNK_BYTES, LogStreams, _whole_characters
from ci_server.sse import LogEventCache, encode, encoded_events
from support.jobs import NOON, Clock, a_job
from support.waiting import until

pytestmark = pytest.mark.anyio

PASSED = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 0", 0)


class NoSignals:
    """Signals of another process: they never come."""

    def notify(self, job_id):
        pass

    def subscribe(self, job_id):
        return self

    async def wait(self, timeout_seconds):
        await asyncio.sleep(timeout_seconds)
        return False

    def close(self):
        pass


class World:
    """Rows and logs, written the way the controller does, and streams over them."""

    async def open(self, path, signals=None):
        self.signals = signals or ProcessJobSignals()
        self.database = Database(path / "ci.db")
        await self.database.open()
        self.logs = FileLogStore(path, self.signals)
        self.jobs = SqliteJobSubmissions(self.database, self.signals)
        self.moves = SqliteJobTransitions(self.database, self.signals, "me")
        await SqliteControllerLease(self.database).acquire("me", NOON, 3600)
        self.streams = LogStreams(self.jobs, self.logs, self.signals)
        self.clock = Clock()
        return self

    async def job(self, *pieces, finish=False):
        """A running job that has written this much, or one that has finished."""
        job = a_job()
        await self.jobs.add(job)
        self.log = self.logs.open(job.job_id)
        await self.moves.claim(job.job_id)
        await self.moves.mark_running(job.job_id, self.clock())
        for piece in pieces:
            self.log.append(piece)
        if finish:
            await self.finish(job.job_id)
        return await self.jobs.get(job.job_id)

    async def finish(self, job_id, outcome=PASSED):
        assert await self.moves.finish(job_id, Ending(outcome, self.log.size), self.clock())
        self.log.close()

    async def watch(self, job, offset=0):
        async with asyncio.timeout(30):
            return [event async for event in self.streams.events(job, offset)]


@pytest.fixture
async def world(tmp_path):
    world = await World().open(tmp_path)
    yield world
    await world.database.close()


def joined(events):
    return b"".join(event.content for event in events if isinstance(event, LogEvent))


def assert_ids_are_offsets(events, offset=0):
    for event in events:
        if isinstance(event, LogEvent):
            assert event.content, "an empty event"
            offset += len(event.content)
            assert event.end_offset == offset


def texts(events):
    return [event.to_dict() for event in events if isinstance(event, LogEvent)]


# ------------------------------------------------------------------ characters


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (b"", b""),
        (b"a", b"a"),
        (b"a\xc3", b"a"),
        (b"a\xc3\xa4", b"a\xc3\xa4"),
        (b"a\xe2\x82", b"a"),
        (b"a\xe2\x82\xac", b"a\xe2\x82\xac"),
        (b"a\xf0\x9f\x98", b"a"),
        (b"a\xf0\x9f", b"a"),
        (b"a\xf0", b"a"),
        (b"a\xf0\x9f\x98\x80", b"a\xf0\x9f\x98\x80"),
        (b"\x80\x80\x80\x80\x80", b"\x80\x80\x80\x80\x80"),
        (b"a\x80", b"a\x80"),
    ],
)
def test_whole_characters(content, whole):
    assert _whole_characters(content) == whole


@given(st.text(), st.integers(0, 40))
def test_cutting_valid_text_leaves_valid_text(text, cut):
    cut_off = text.encode()[:cut]
    whole = _whole_characters(cut_off)
    whole.decode()
    assert cut_off.startswith(whole)
    assert len(cut_off) - len(whole) < 4


TEXT = "a€ä😀\n" * 3 + "日本語 ohne Zeilenende 😀"


@pytest.mark.parametrize("chunk", [4, 5, 7, 8, 16])
async def test_no_event_splits_a_character(world, monkeypatch, chunk):
    monkeypatch.setattr(log_stream, "CHUNK_BYTES", chunk)
    job = await world.job(TEXT.encode(), finish=True)
    events = await world.watch(job)
    assert joined(events).decode() == TEXT
    assert not any("raw" in wire for wire in texts(events))
    assert max(len(event.content) for event in events[:-1]) < chunk + 4


@pytest.mark.parametrize("before", range(-5, 5))
async def test_a_character_across_the_chunk_boundary_is_not_split(world, before):
    """One line longer than a chunk, with a character of four bytes around its boundary."""
    content = b"x" * (CHUNK_BYTES + before) + "😀".encode() + b"y" * 10
    job = await world.job(content, finish=True)
    events = await world.watch(job)
    assert joined(events) == content
    assert not any("raw" in wire for wire in texts(events))
    assert all(len(event.content) < CHUNK_BYTES + 4 for event in events[:-1])


async def test_a_character_written_in_two_pieces_is_one_event(world):
    encoded = TEXT.encode()
    job = await world.job()
    watching = asyncio.create_task(world.watch(job))
    for at in range(len(encoded)):
        world.log.append(encoded[at : at + 1])
        await asyncio.sleep(0)
        if at % 8 == 0:
            await asyncio.sleep(0.002)
    await world.finish(job.job_id)
    events = await watching
    assert joined(events) == encoded
    assert not any("raw" in wire for wire in texts(events))
    assert_ids_are_offsets(events)


async def test_invalid_bytes_are_preserved(world):
    content = b"\xff\xfe\x00 \r ok\n\x80\xc3" + bytes(range(256)) + b"\xf0\x9f"
    job = await world.job(content, finish=True)
    events = await world.watch(job)
    assert joined(events) == content
    assert b"".join(log_bytes(wire) for wire in texts(events)) == content


async def test_an_unfinished_character_at_the_end_of_a_finished_log_is_told(world):
    job = await world.job(b"a\xf0\x9f", finish=True)
    assert joined(await world.watch(job)) == b"a\xf0\x9f"


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
    assert "trying again" in caplog.text


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


# ------------------------------------------------------------------ offsets, tails


async def test_offsets_outside_the_log_are_refused(world):
    job = await world.job(b"12345")
    world.streams.check_offset(job, 0)
    world.streams.check_offset(job, 5)
    for offset in (-1, 6):
        with pytest.raises(InvalidOffsetError, match="5 bytes"):
            world.streams.check_offset(job, offset)


class OneLog:
    """A log in memory (port LogReader)."""

    def __init__(self, content):
        self._content = content

    def size(self, _):
        return len(self._content)

    def read(self, _, offset, limit):
        return self._content[offset : offset + limit]


def naive_tail(content, lines):
    parts = content.split(b"\n")
    unfinished = parts.pop()
    whole = [part + b"\n" for part in parts] + ([unfinished] if unfinished else [])
    return len(b"".join(whole[: max(len(whole) - lines, 0)]))


@settings(max_examples=300)
@given(
    content=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", b"\n\n"])).map(b"".join),
    lines=st.integers(0, 12),
    block=st.integers(1, 7),
)
def test_tail_offset_is_that_of_the_naive_model(content, lines, block):
    before, log_stream._TAIL_BLOCK_BYTES = log_stream._TAIL_BLOCK_BYTES, block
    try:
        streams = LogStreams(None, OneLog(content), None)
        assert streams.tail_offset(a_job(), lines) == naive_tail(content, lines)
    finally:
        log_stream._TAIL_BLOCK_BYTES = before


def test_a_longer_tail_than_the_log_is_all_of_it():
    assert LogStreams(None, OneLog(b"a\nb\n"), None).tail_offset(a_job(), 1000) == 0
    assert LogStreams(None, OneLog(b""), None).tail_offset(a_job(), 10) == 0


# ------------------------------------------------------------------ on the wire


async def test_the_body_of_a_stream(world):
    job = await world.job("hällo\n".encode(), finish=True)
    body = encoded_events(
        job.job_id, world.streams.events(job, 0), LogEventCache(), 0, with_job_id=True
    )
    pieces = [piece async for piece in body]
    assert pieces[0].startswith(b": ")
    assert b"retry: " in pieces[0]
    assert pieces[1] == b'id: 0\ndata: {"type":"job_id","job_id":"%s"}\n\n' % job.job_id.encode()
    assert pieces[2] == b'id: 7\ndata: {"type":"log","data":"h\\u00e4llo\\n"}\n\n'
    assert pieces[3].startswith(b'data: {"type":"complete",')
    assert len(pieces) == 4


async def test_status_events_carry_the_offset_reached(world):
    job = await world.job(b"12345")
    body = encoded_events(job.job_id, world.streams.events(job, 3), LogEventCache(), 3)
    await anext(body)
    assert await anext(body) == b'id: 3\ndata: {"type":"status","status":"running"}\n\n'
    assert (await anext(body)).startswith(b"id: 5\n")
    await body.aclose()


async def test_status_events_can_be_left_out(world):
    job = await world.job(b"12345")
    body = encoded_events(
        job.job_id, world.streams.events(job, 0), LogEventCache(), 0, with_status=False
    )
    await anext(body)
    assert (await anext(body)).startswith(b"id: 5\n")
    await body.aclose()


@given(st.binary())
def test_an_event_on_the_wire_is_ascii_and_two_lines(content):
    wire = encode(LogEvent(content, len(content)).to_dict(), len(content))
    assert wire.isascii()
    assert wire.count(b"\n") == 3
    assert b"\r" not in wire
    assert wire.endswith(b"\n\n")


def test_the_cache_is_bounded_and_never_wrong(monkeypatch):
    monkeypatch.setattr("ci_server.sse._CACHE_BYTES", 1000)
    cache = LogEventCache()
    events = [LogEvent(b"%d" % number * 20, number) for number in range(100)]
    for event in events * 2:
        assert cache.encode("job", event) == encode(event.to_dict(), event.end_offset)
        assert cache._bytes == sum(map(len, cache._encoded.values())) <= 1000
    assert cache.encode("a", LogEvent(b"x", 1)) is cache.encode("a", LogEvent(b"x", 1))
    assert cache.encode("a", LogEvent(b"yx", 2)) != cache.encode("a", LogEvent(b"x", 2))
