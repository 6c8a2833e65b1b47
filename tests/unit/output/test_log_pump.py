"""Copying output on a thread: whole, and over when it says so."""

import asyncio
import threading

import pytest

from ci_common.errors import EngineUnavailableError, LeaseLostError
from ci_controller.executors.shared import log_pump
from ci_controller.executors.shared.log_pump import pump
from support.waiting import until

pytestmark = pytest.mark.anyio


class Source:
    """An output of given pieces, which then blocks until it is closed, or ends."""

    def __init__(self, *pieces, ends=True):
        self._pieces = list(pieces)
        self._ends = ends
        self.closed = threading.Event()
        self.blocked = threading.Event()

    def read(self):
        if self._pieces:
            return self._pieces.pop(0)
        if not self._ends:
            self.blocked.set()
            self.closed.wait()
        return b""

    def close(self):
        self.closed.set()


async def test_everything_is_copied_in_order_and_the_output_closed():
    source, copied = Source(*[b"%d " % number for number in range(1000)]), bytearray()
    await pump(source, copied.extend)
    assert bytes(copied) == b"".join(b"%d " % number for number in range(1000))
    assert source.closed.is_set()


async def test_errors_of_the_log_are_raised_and_the_output_closed():
    source = Source(b"x")

    def full(content):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await pump(source, full)
    assert source.closed.is_set()


async def test_errors_of_the_output_are_raised():
    class Broken(Source):
        def read(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pump(Broken(), lambda _: None)


async def test_when_cancelled_the_copying_is_over():
    source, copied = Source(b"one", ends=False), []
    task = asyncio.create_task(pump(source, copied.append))
    await asyncio.to_thread(source.blocked.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed.is_set()
    assert copied == [b"one"]
    # Its last act was to say so; it takes a moment more to be gone.
    await until(
        lambda: [thread for thread in threading.enumerate() if thread.name == "log-pump"],
        lambda threads: not threads,
        "the end of the thread",
    )


async def test_when_cancelled_again_it_still_waits_for_the_copying():
    """As when the lease is lost while a job is cancelled: the log is closed after this."""
    source = Source(b"one")
    writing, written = threading.Event(), threading.Event()

    def append(content):
        writing.set()
        assert written.wait(60)

    task = asyncio.create_task(pump(source, append))
    await until(writing.is_set, what="a thread that writes")
    for _ in range(2):
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
    ended = task.done()
    written.set()
    await asyncio.wait([task])
    assert (ended, task.cancelled()) == (False, True)


class Storage:
    """Where the bytes go; a log that may be lost to another controller."""

    def __init__(self, stored=0):
        self.skip = stored
        self.synced = []
        self.error = None

    def append(self, content):
        self.skip += len(content)

    def sync(self):
        if self.error:
            raise self.error
        self.synced.append(self.skip)


class Kept(Source):
    """An output that remembers what it was told; the engine fails at the first so many times."""

    def __init__(self, *pieces, failures=0, ends=True):
        super().__init__(*pieces, ends=ends)
        self.failures = failures
        self.told = []
        self.was_told = threading.Event()

    def stored(self, offset):
        if self.failures:
            self.failures -= 1
            raise EngineUnavailableError("no answer")
        self.told.append(offset)
        self.was_told.set()


PIECE = b"x" * (1 << 20)
STEP = log_pump._STEP_BYTES


async def pumped(output, storage):
    """Until all was told that there is to tell; then the output ends."""
    task = asyncio.create_task(pump(output, storage.append, storage))
    await asyncio.to_thread(output.was_told.wait, 10)
    output.closed.set()
    await task


async def test_little_output_is_not_synced_on_the_way():
    output, storage = Kept(PIECE), Storage()
    await pump(output, storage.append, storage)
    assert (output.told, storage.synced) == ([], [])


async def test_what_is_synced_is_told():
    output, storage = Kept(*[PIECE] * 30, ends=False), Storage()
    await pumped(output, storage)
    assert output.told[0] == STEP
    assert storage.synced[0] >= STEP


async def test_who_takes_over_tells_what_is_stored_before_the_first_byte():
    """The workload may be waiting for that, and write nothing before."""
    output, storage = Kept(ends=False), Storage(stored=2 * STEP)
    await pumped(output, storage)
    assert output.told == [2 * STEP]


async def test_what_could_not_be_told_is_told_again(monkeypatch):
    monkeypatch.setattr(log_pump, "_RETRY_SECONDS", 0.01)
    output, storage = Kept(ends=False, failures=3), Storage(stored=STEP)
    await pumped(output, storage)
    assert output.told == [STEP]


@pytest.mark.parametrize("error", [LeaseLostError(), OSError(28, "No space left on device")])
async def test_a_log_that_cannot_be_synced_ends_the_copying(error):
    """What was appended may be in no log: nothing is told."""
    output, storage = Kept(ends=False), Storage(stored=STEP)
    storage.error = error
    with pytest.raises(type(error)):
        await pump(output, storage.append, storage)
    assert output.told == []


async def test_an_end_does_not_wait_for_what_is_being_told():
    class Slow(Kept):
        def stored(self, offset):
            self.was_told.set()
            release.wait(20)

    release = threading.Event()
    output, storage = Slow(ends=False), Storage(stored=STEP)
    async with asyncio.timeout(10):
        await pumped(output, storage)
    release.set()


async def test_a_slow_log_does_not_block_the_event_loop():
    release, source = threading.Event(), Source(b"x")
    task = asyncio.create_task(pump(source, lambda _: release.wait(10)))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not task.done()
    release.set()
    await task
