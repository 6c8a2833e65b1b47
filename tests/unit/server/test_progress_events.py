"""The progress in a log, as events of its readers: at its place, and again for those who resume."""

import asyncio
import random

import pytest

from ci_common.errors import LogMissingError
from ci_common.events import CompleteEvent, LogEvent, StatusEvent
from ci_common.job import JobStatus
from ci_common.progress import MAX_LINE_BYTES, PREFIX, read_progress
from ci_server.apis.native.sse import LogEventCache, encoded_events
from ci_server.apis.runs.present import encode_progress
from ci_server.streams.progress_events import (
    LOOK_BACK_BYTES,
    LogWithProgress,
    ProgressEvent,
    ProgressReader,
    events_with_progress,
)
from support.jobs import a_job

pytestmark = pytest.mark.anyio


def line(current, **more):
    told = ",".join(f'"{name}":{value}' for name, value in more.items())
    comma = "," if told else ""
    return b'::progress {"current":%d,"total":9,"phase":"x"%s}\n' % (
        current,
        (comma + told).encode(),
    )


LOG = (
    b"before\n" + line(1, iteration=1) + b"not at the start " + line(2) + line(3, iteration=1)
    + line(4, iteration=1, score=6.5) + b"::progress {broken\n\xc3\xa4 after\n::prog\n"
    + line(5, iteration=2) + b"::progress {" + b" " * MAX_LINE_BYTES + b"}\n"
    + line(6)[:-1] + b"\r\n" + line(7).rstrip()
)  # fmt: skip


def expected():
    """What is told of the log, line by line: where it ends, and how far the job is."""
    told, end = [], 0
    for one in LOG.splitlines(keepends=True):
        end += len(one)
        if one.endswith(b"\n") and one.startswith(PREFIX) and (found := read_progress(one[:-1])):
            told.append((end, found.current))
    return told


def events_of(pieces, reader=None, offset=0):
    reader = reader or ProgressReader()
    for piece in pieces:
        offset += len(piece)
        yield from reader.read(LogEvent(piece, offset))


def check(events, log, offset=0):
    """The log is whole and in order, and each report comes right after its line."""
    content, told = b"", []
    for event in events:
        if isinstance(event, LogEvent):
            assert event.content
            content += event.content
        else:
            told.append((event.end_offset, event.progress.current))
        assert event.end_offset == offset + len(content)
    assert content == log
    return told


def test_reports_are_told_where_they_stand_wherever_the_log_is_cut():
    for cut in range(1, len(LOG)):
        assert check(events_of([LOG[:cut], LOG[cut:]]), LOG) == expected(), cut


@pytest.mark.parametrize("seed", range(20))
def test_any_pieces(seed):
    rng, pieces, at = random.Random(seed), [], 0
    while at < len(LOG):
        pieces.append(LOG[at : at + rng.choice([1, 2, 5, 30, 200])])
        at += len(pieces[-1])
    assert check(events_of(pieces), LOG) == expected()


def test_an_iteration_begins_once():
    begun = [
        (event.progress.current, event.begins_iteration)
        for event in events_of([LOG])
        if isinstance(event, ProgressEvent)
    ]
    assert begun == [(1, True), (3, False), (4, False), (5, True), (6, False)]


def test_on_the_wire():
    first, _, scored, *_ = (e for e in events_of([LOG]) if isinstance(e, ProgressEvent))
    at = str(first.end_offset).encode()
    begun = b'data: {"type":"iteration_start","iteration":1}\n\n'
    told = b'data: {"type":"progress","current":1,"total":9,"phase":"x","iteration":1}\n\n'
    assert encode_progress(first) == [b"id: %s\n%s" % (at, begun), b"id: %s\n%s" % (at, told)]
    assert encode_progress(scored)[-1].endswith(
        b'data: {"type":"iteration_end","iteration":1,"score":6.5}\n\n'
    )


async def test_a_job_that_reports_and_reports_leaves_others_their_turn():
    log = b"".join(line(number, iteration=number) for number in range(1000))
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def watched():
        yield LogWithProgress(ProgressReader().read(LogEvent(log, len(log))), len(log))

    task = asyncio.create_task(others())
    body = encoded_events("j", watched(), LogEventCache(), 0, encode_progress=encode_progress)
    sent = [content async for content in body]
    task.cancel()
    assert b"".join(sent).count(b'"type":"iteration_start"') == 1000
    assert max(map(len, sent)) < 20_000
    assert turns >= len(sent) - 1 > 10
    assert len(sent) < 30


class Streams:
    """A finished job's log."""

    def __init__(self, log, stored=True):
        self.log = log
        self.stored = stored

    def check_stored(self, _job, _end):
        if not self.stored:
            raise LogMissingError

    def read(self, _job, offset, end):
        return self.log[offset:end]

    async def events(self, job, offset):
        yield StatusEvent(JobStatus.RUNNING)
        if offset < len(self.log):
            yield LogEvent(self.log[offset:], len(self.log))
        yield CompleteEvent(job)


async def resumed(log, offset, **options):
    events = []
    async for event in events_with_progress(Streams(log, **options), a_job(), offset):
        events += event.pieces if isinstance(event, LogWithProgress) else [event]
    assert isinstance(events[-1], CompleteEvent)
    progress = [event for event in events if isinstance(event, ProgressEvent)]
    content = b"".join(event.content for event in events if isinstance(event, LogEvent))
    assert content == log[offset:]
    return [(event.end_offset, event.progress.current) for event in progress], progress


async def test_whoever_resumes_at_the_end_of_a_report_is_told_it():
    """The connection may have ended between the log and the report."""
    for offset in range(len(LOG) + 1):
        told, _ = await resumed(LOG, offset)
        assert told == [one for one in expected() if one[0] >= max(offset, 1)], offset


async def test_whoever_resumes_knows_the_iteration():
    offset = LOG.index(line(3, iteration=1))
    _, (third, *_) = await resumed(LOG, offset)
    assert (third.progress.current, third.begins_iteration) == (3, False)


@pytest.mark.parametrize("before", [0, 1, LOOK_BACK_BYTES - 100, LOOK_BACK_BYTES + 1])
async def test_what_is_long_before_is_not_looked_at(before):
    log = line(1, iteration=1) + b"x" * before + b"\n" + line(2, iteration=1)
    _, (second,) = await resumed(log, len(log) - len(line(2, iteration=1)))
    assert second.begins_iteration == (before > LOOK_BACK_BYTES)


async def test_where_the_log_before_cannot_be_read_no_report_is_invented():
    told, _ = await resumed(LOG, LOG.index(b'{"current":2'), stored=False)
    assert told == [one for one in expected() if one[1] >= 3]
