"""Live streams of the Durable Streams Protocol end after a while, whatever their readers do."""

import asyncio

import pytest

from ci_common.events import LogEvent
from ci_common.job_events import EventCursor
from ci_common.ports.events import EventBatch
from ci_server.apis.durable import events as durable_events
from ci_server.apis.durable import log as durable_log
from support.jobs import a_job

pytestmark = pytest.mark.anyio

SECONDS = 0.01
START = EventCursor("0123456789abcdef", 7)


class Feed:
    async def follow(self, principal, cursor):
        yield EventBatch((), EventCursor(cursor.stream, cursor.seq + 1))
        await asyncio.Event().wait()


class Logs:
    def size(self, job):
        return 6

    async def events(self, job, offset):
        yield LogEvent(b"hello\n", 6)
        await asyncio.Event().wait()


async def read_slowly(body):
    """All pieces. To send the second one takes longer than the stream goes on."""
    found = [await anext(body), await anext(body)]
    is_sent = asyncio.Event()
    asyncio.get_running_loop().call_later(3 * SECONDS, is_sent.set)
    await is_sent.wait()
    return found + [piece async for piece in body]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (lambda: durable_log._events(Logs(), a_job(), 0), ["data", "control"]),
        (lambda: durable_events._events(Feed(), None, START), ["control", "control"]),
    ],
    ids=["log", "events"],
)
async def test_the_end_cuts_no_reader_that_is_being_sent_to(monkeypatch, body, told):
    for module in (durable_log, durable_events):
        monkeypatch.setattr(module, "SSE_SECONDS", SECONDS)
    reading = asyncio.create_task(read_slowly(body()))
    await asyncio.wait([reading])
    kinds = [piece.partition(b"\n")[0] for piece in reading.result()]
    assert kinds == [f"event: {kind}".encode() for kind in told]
