"""Copying output on a thread: whole, and over when it says so."""

import asyncio
import threading

import pytest

from ci_controller.log_pump import pump
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


async def test_a_slow_log_does_not_block_the_event_loop():
    release, source = threading.Event(), Source(b"x")
    task = asyncio.create_task(pump(source, lambda _: release.wait(10)))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not task.done()
    release.set()
    await task
