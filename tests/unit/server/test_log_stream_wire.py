"""Offsets and tails of a log, and its events on the wire."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidOffsetError
from ci_common.events import CompleteEvent, LogEvent
from ci_server.apis.native import sse
from ci_server.apis.native.present import event_json
from ci_server.apis.native.sse import (
    LogEventCache,
    complete_id,
    encode,
    encoded_events,
    parse_event_id,
)
from ci_server.streams import log_stream
from ci_server.streams.log_stream import LogStreams
from support.jobs import a_job
from support.stream_world import World, joined

pytestmark = pytest.mark.anyio

RETRY = b"retry: 1000\n"


@pytest.fixture
async def world(tmp_path):
    world = await World().open(tmp_path)
    yield world
    await world.database.close()


# ------------------------------------------------------------------ offsets, tails


async def test_offsets_outside_the_log_are_refused(world):
    job = await world.job(b"12345", finish=True)
    world.streams.check_offset(job, 0)
    world.streams.check_offset(job, 5)
    for offset in (-1, 6):
        with pytest.raises(InvalidOffsetError, match="5 bytes"):
            world.streams.check_offset(job, offset)


async def test_a_reader_may_be_ahead_of_a_live_log(world):
    job = await world.job(b"12345")
    world.streams.check_offset(job, 7)
    reader = asyncio.create_task(world.watch(job, 7))
    for piece in (b"6", b"7", b"89"):
        world.log.append(piece)
    await world.finish(job.job_id)
    events = await reader
    assert joined(events) == b"89"
    assert isinstance(events[-1], CompleteEvent)


async def test_a_reader_ahead_of_a_log_that_has_ended_gets_the_result(world):
    job = await world.job(b"12345", finish=True)
    (event,) = await world.watch(job, 7)
    assert isinstance(event, CompleteEvent)


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
    job_id = job.job_id.encode()
    assert pieces[0] == b": stream of job %s\n\n" % job_id
    assert pieces[1] == RETRY + b'id: 0\ndata: {"type":"job_id","job_id":"%s"}\n\n' % job_id
    assert pieces[2] == b'id: 7\ndata: {"type":"log","data":"h\\u00e4llo\\n"}\n\n'
    assert pieces[3].startswith(b'id: 7:complete\ndata: {"type":"complete",')
    assert len(pieces) == 4


@pytest.mark.parametrize(("content", "kind"), [(b"12345", b"log"), (b"", b"complete")])
async def test_the_first_event_that_has_data_has_the_time_to_reconnect(world, content, kind):
    """Of a block that has nothing else, httpx-sse makes an event without data."""
    job = await world.job(*[content] * bool(content), finish=True)
    body = encoded_events(
        job.job_id, world.streams.events(job, 0), LogEventCache(), 0, with_status=False
    )
    _, first, *rest = [piece async for piece in body]
    assert first.startswith(RETRY + b"id: ")
    assert b'"type":"%s"' % kind in first
    assert b"retry:" not in b"".join(rest)


def test_ids_are_parsed_as_they_were_sent():
    assert parse_event_id("7") == (7, False)
    assert parse_event_id(complete_id(replace(a_job(), log_size=7))) == (7, True)


BAD_IDS = ["", " ", "x", "-1", "7:", "7:complete ", ":complete", "7:COMPLETE", "7 :complete",
           "7:complete:complete", "9" * 19, "\N{ARABIC-INDIC DIGIT THREE}", "7\n"]  # fmt: skip


@pytest.mark.parametrize("wanted", BAD_IDS)
def test_what_is_no_id_of_ours_is_refused(wanted):
    with pytest.raises(InvalidOffsetError):
        parse_event_id(wanted)


async def test_status_events_carry_the_offset_reached(world):
    job = await world.job(b"12345")
    body = encoded_events(job.job_id, world.streams.events(job, 3), LogEventCache(), 3)
    await anext(body)
    told = b'id: 3\ndata: {"type":"status","status":"running"}\n\n'
    assert await anext(body) == RETRY + told
    assert (await anext(body)).startswith(b"id: 5\n")
    await body.aclose()


async def test_status_events_can_be_left_out(world):
    job = await world.job(b"12345")
    body = encoded_events(
        job.job_id, world.streams.events(job, 0), LogEventCache(), 0, with_status=False
    )
    await anext(body)
    assert (await anext(body)).startswith(RETRY + b"id: 5\n")
    await body.aclose()


@given(st.binary())
def test_an_event_on_the_wire_is_ascii_and_two_lines(content):
    wire = encode(event_json(LogEvent(content, len(content))), len(content))
    assert wire.isascii()
    assert wire.count(b"\n") == 3
    assert b"\r" not in wire
    assert wire.endswith(b"\n\n")


def test_the_cache_is_bounded_and_never_wrong(monkeypatch):
    monkeypatch.setattr("ci_server.apis.native.sse._CACHE_BYTES", 3000)
    cache = LogEventCache()
    events = [LogEvent(b"%d" % number * 20, number) for number in range(100)]
    for event in events * 2:
        assert cache.encode("job", event) == encode(event_json(event), event.end_offset)
        taken = sum(len(encoded) + sse._ENTRY_BYTES for encoded in cache._encoded.values())
        assert cache._bytes == taken <= 3000
    assert 1 < len(cache._encoded) < 12
    assert cache.encode("a", LogEvent(b"x", 1)) is cache.encode("a", LogEvent(b"x", 1))
    assert cache.encode("a", LogEvent(b"yx", 2)) != cache.encode("a", LogEvent(b"x", 2))
