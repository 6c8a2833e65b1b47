"""Offsets and tails of a log, and its events on the wire."""

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_client.library.sse_reader import log_bytes
from ci_common.errors import InvalidOffsetError
from ci_common.events import CompleteEvent, LogEvent
from ci_server.apis.native import sse
from ci_server.apis.native.present import event_json
from ci_server.apis.native.sse import (
    FIRST_EVENT_BYTES,
    LogEventCache,
    LogPieces,
    complete_id,
    encode,
    encoded_events,
    parse_event_id,
)
from ci_server.streams import encoded_cache, log_stream
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
        streams = LogStreams(None, OneLog(content), None, None)
        assert streams.tail_offset(a_job(), lines) == naive_tail(content, lines)
    finally:
        log_stream._TAIL_BLOCK_BYTES = before


def test_a_longer_tail_than_the_log_is_all_of_it():
    assert LogStreams(None, OneLog(b"a\nb\n"), None, None).tail_offset(a_job(), 1000) == 0
    assert LogStreams(None, OneLog(b""), None, None).tail_offset(a_job(), 10) == 0


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
        taken = sum(
            len(encoded) + encoded_cache._ENTRY_BYTES for encoded in cache._entries.values()
        )
        assert cache._bytes == taken <= 3000
    assert 1 < len(cache._entries) < 12
    assert cache.encode("a", LogEvent(b"x", 1)) is cache.encode("a", LogEvent(b"x", 1))
    assert cache.encode("a", LogEvent(b"yx", 2)) != cache.encode("a", LogEvent(b"x", 2))


# ------------------------------------------------------------------ the size of events

KINDS = {
    "lines": b"x" * 69 + b"\n",
    "one line": b"x",
    "control characters": b"\x1b[31m\0\x01\r",
    "three bytes a character": "\u65e5\u672c\u8a9e".encode(),
    "four bytes a character": "\U0001f600".encode(),
    "no text": b"\xff\xfe\x80\n",
    "plain first, then dear": b"x" * 12_000 + "\U0001f600".encode() * 5000,
}


def contents(pieces):
    """The exact bytes of each event on the wire, whose ids must be offsets."""
    found, offset = [], 0
    for piece in pieces:
        head, data = piece.rstrip(b"\n").split(b"\ndata: ")
        found.append(log_bytes(json.loads(data)))
        offset += len(found[-1])
        assert head == b"id: %d" % offset
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_starts_with_small_events_that_grow(world, kind):
    """No event is larger than the first may be, or than all before it and a little more."""
    content = (KINDS[kind] * (1 + 3_000_000 // len(KINDS[kind])))[:3_000_000]
    job = await world.job(content, finish=True)
    body = encoded_events(job.job_id, world.streams.events(job, 0), LogEventCache(), 0)
    _, *pieces, _ = [piece async for piece in body]
    sent = 0
    for number, piece in enumerate(pieces):
        assert len(piece) <= max(FIRST_EVENT_BYTES, 2 * sent), number
        assert len(piece) <= FIRST_EVENT_BYTES << number
        sent += len(piece)
    assert len(pieces[0]) > FIRST_EVENT_BYTES // 4, "and not much smaller than it may be"
    found = contents([pieces[0].removeprefix(RETRY), *pieces[1:]])
    assert b"".join(found) == content
    assert len(found) <= 2 * len(await world.watch(job)) + 10, "soon as large as they are read"
    if kind == "lines":
        assert all(piece.endswith(b"\n") for piece in found[:3])


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 40)), min_size=1),
    cuts=st.lists(st.integers(1, 5000)),
)
def test_however_content_is_cut_it_is_the_same_and_small(parts, cuts):
    content = b"".join(KINDS[kind][:500] * times for kind, times in parts)
    pieces, offset, sent = LogPieces("job", LogEventCache()), 0, []
    for cut in [*cuts, len(content)]:
        part = content[offset : offset + cut]
        offset += len(part)
        sent += pieces.encode(LogEvent(part, offset)) if part else []
    assert b"".join(contents(sent)) == content
    assert all(len(piece) <= FIRST_EVENT_BYTES << number for number, piece in enumerate(sent))


async def test_readers_at_the_same_place_share_what_was_encoded(world, monkeypatch):
    job = await world.job(KINDS["four bytes a character"] * 100_000, finish=True)
    encoded = []
    monkeypatch.setattr(sse, "encode", lambda *event: encoded.append(event[1]) or encode(*event))
    cache = LogEventCache()

    async def read():
        body = encoded_events(job.job_id, world.streams.events(job, 0), cache, 0)
        return [piece async for piece in body]

    first = await read()
    once = len(encoded)
    assert await read() == first
    assert encoded[once:] == [complete_id(job)]


async def test_a_link_that_cuts_every_20_kb_carries_the_whole_log(world):
    job = await world.job(KINDS["three bytes a character"] * 20_000, finish=True)
    cache, offset, connections, content = LogEventCache(), 0, 0, b""
    while offset < job.log_size:
        body = encoded_events(job.job_id, world.streams.events(job, offset), cache, offset)
        wire = b"".join([piece async for piece in body])[:20_000]
        *events, _ = wire.removeprefix(b": stream of job ").split(b"\n\n")
        for event in events[1:]:
            data = json.loads(event.rpartition(b"data: ")[2])
            if data["type"] == "log":
                content += log_bytes(data)
        assert len(content) > offset, "no event arrived whole"
        offset, connections = len(content), connections + 1
    assert content == KINDS["three bytes a character"] * 20_000
    assert connections < 40
