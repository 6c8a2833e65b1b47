"""Searches on threads: how long they take, and that they end when nobody wants their hits."""

import asyncio
import threading
import time
from contextlib import aclosing

import pytest

from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_server.streams.log_positions import LogPositions
from ci_server.streams.log_search import LogSearches, SearchEnd, SearchProgress, TimedHit
from ci_server.streams.log_threads import LogThreads
from ci_server.streams.search_term import SearchTerm
from support.jobs import a_job

pytestmark = pytest.mark.anyio

LINE = b"\x1b[1mtest_it\x1b[0m \x1b[32mPASSED\x1b[0m \x1b[90m[\x1b[36m42%\x1b[90m]\x1b[0m\n"
CONTENT = LINE * (20_000_000 // len(LINE)) + b"the needle\n"


class CountingStore(FileLogStore):
    """Counts what is read."""

    reads = 0

    def read(self, job_id, offset, limit):
        self.reads += 1
        return super().read(job_id, offset, limit)


@pytest.fixture
def threads():
    threads = LogThreads()
    yield threads
    threads.close()


@pytest.fixture
def store(tmp_path):
    store = CountingStore(tmp_path, ProcessJobSignals())
    log = store.open("job", 1)
    log.append(CONTENT)
    log.close()
    return store


@pytest.fixture
def searches(store, threads):
    return LogSearches(store, LogPositions(store, store, threads), threads)


JOB = a_job(job_id="job", log_size=len(CONTENT))


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_tenth_of_what_is_promised_takes_a_tenth_of_the_time(store, searches, compressed):
    """200 MB in 3 s: of the processor, which others may use at the same time."""
    if compressed:
        store.compress("job", len(CONTENT))
    begin = time.process_time()
    events = searches.events(await searches.begin(JOB, SearchTerm("The Needle")))
    found = [event async for event in events]
    assert time.process_time() - begin < 0.6  # twice that, for a busy machine
    hits = [event.hit for event in found if isinstance(event, TimedHit)]
    assert [hit.offset for hit in hits] == [CONTENT.index(b"the needle")]
    assert isinstance(found[-1], SearchEnd)


async def test_a_search_ends_with_its_reader(store, searches, threads):
    search = await searches.begin(JOB, SearchTerm("passed"))
    async with aclosing(searches.events(search)) as events:
        assert isinstance(await anext(events), TimedHit)
    await threads.run("acme", int)
    await threads.run("acme", int)  # whatever had begun has ended
    reads = store.reads
    await threads.run("acme", int)
    assert store.reads == reads < 20


async def test_more_searches_than_threads_take_turns(searches):
    """All get their hits, those that find nothing as well as those that find too much."""

    async def search(text):
        events = searches.events(await searches.begin(JOB, SearchTerm(text), most=3))
        return [event async for event in events if not isinstance(event, SearchProgress)]

    found = await asyncio.gather(*(search(text) for text in ("nowhere", "passed") * 3))
    for events, hits in zip(found, (0, 3) * 3, strict=True):
        assert [type(event) for event in events] == [TimedHit] * hits + [SearchEnd]
        assert events[-1].truncated == bool(hits)


async def test_one_tenant_never_takes_all_threads(threads):
    go = threading.Event()
    long = [asyncio.create_task(threads.run("acme", go.wait, 60)) for _ in range(3)]
    assert await asyncio.wait_for(threads.run("other", int), 30) == 0
    go.set()
    assert await asyncio.gather(*long) == [True] * 3
