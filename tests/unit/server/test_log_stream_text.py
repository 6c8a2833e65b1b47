"""From a cursor to events: whole characters, and exact bytes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_client.library.sse_reader import log_bytes
from ci_server.streams import log_stream
from ci_server.streams.log_stream import CHUNK_BYTES, _whole_characters
from support.stream_world import (
    TEXT,
    World,
    assert_ids_are_offsets,
    joined,
    texts,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    world = await World().open(tmp_path)
    yield world
    await world.database.close()


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
