"""One build for all who want the same; nobody's end disturbs another's."""

import asyncio

import pytest

from ci_common.errors import SetupFailedError
from ci_controller.executors.shared import single_flight
from ci_controller.executors.shared.single_flight import SingleFlight
from support.executors import MemoryLog
from support.waiting import until

pytestmark = pytest.mark.anyio


class Build:
    """A build that the test drives."""

    def __init__(self):
        self.begun = self.cancelled = 0
        self.go = asyncio.Event()
        self.error = None
        self.transcript = None

    async def __call__(self, transcript):
        self.begun += 1
        self.transcript = transcript
        transcript.write(b"begun\n")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        transcript.write(b"ended\n")
        if self.error:
            raise self.error
        return self.begun


@pytest.fixture
async def build():
    return Build()


async def joined(flights, build, count, key="key"):
    logs = [MemoryLog() for _ in range(count)]
    tasks = [asyncio.create_task(flights.run(key, build, log)) for log in logs]
    await until(lambda: [bytes(log.content) for log in logs], all, "everybody sees the beginning")
    return logs, tasks


async def test_one_build_for_all_who_wait(build):
    flights = SingleFlight()
    logs, tasks = await joined(flights, build, 5)
    build.go.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert {bytes(log.content) for log in logs} == {b"begun\nended\n"}
    assert flights._flights == {}


async def test_who_joins_late_sees_the_output_from_its_beginning(build):
    flights = SingleFlight()
    _, (first,) = await joined(flights, build, 1)
    build.transcript.write(b"more\n")
    (log,), (second,) = await joined(flights, build, 1)
    build.go.set()
    await asyncio.gather(first, second)
    assert bytes(log.content) == b"begun\nmore\nended\n"
    assert build.begun == 1


@pytest.mark.parametrize("turns", range(8))
async def test_what_a_build_says_last_is_in_the_log(turns):
    """However soon after what it said before, which its log may be about to be told."""

    async def build(transcript):
        transcript.write(b"begun\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        transcript.write(b"ERROR: no such package\n")
        raise SetupFailedError

    log = MemoryLog()
    with pytest.raises(SetupFailedError):
        await SingleFlight().run("key", build, log)
    assert bytes(log.content) == b"begun\nERROR: no such package\n"


async def test_another_key_is_another_build(build):
    flights = SingleFlight()
    _, one = await joined(flights, build, 1, "one")
    _, two = await joined(flights, build, 1, "two")
    build.go.set()
    await asyncio.gather(*one, *two)
    assert build.begun == 2


async def test_everybody_gets_the_error_and_the_next_one_tries_again(build):
    flights = SingleFlight()
    build.error = SetupFailedError()
    logs, tasks = await joined(flights, build, 3)
    build.go.set()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, SetupFailedError)
    assert {bytes(log.content) for log in logs} == {b"begun\nended\n"}
    build.error = None
    assert await flights.run("key", build, MemoryLog()) == 2


async def test_one_who_gives_up_leaves_the_others_alone(build):
    flights = SingleFlight()
    _, (first, second) = await joined(flights, build, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert build.cancelled == 0
    build.go.set()
    assert await second == 1


async def test_a_build_nobody_waits_for_is_cancelled_before_the_last_one_leaves(build):
    flights = SingleFlight()
    _, tasks = await joined(flights, build, 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert build.cancelled == 1
    assert flights._flights == {}
    build.go.set()
    assert await flights.run("key", build, MemoryLog()) == 2


async def test_a_full_disk_of_one_is_not_the_others_trouble(build):
    flights = SingleFlight()

    class Full(MemoryLog):
        def append(self, content):
            raise OSError(28, "No space left on device")

    good = MemoryLog()
    second = asyncio.create_task(flights.run("key", build, good))
    with pytest.raises(OSError, match="No space"):
        await flights.run("key", build, Full())
    build.go.set()
    assert await second == 1


async def test_a_hostile_build_cannot_fill_the_memory(build, monkeypatch):
    monkeypatch.setattr(single_flight, "_KEPT_OUTPUT_BYTES", 10)
    flights = SingleFlight()
    (log,), (task,) = await joined(flights, build, 1)
    for _ in range(5):
        build.transcript.write(b"0123456789")
    build.go.set()
    await task
    assert bytes(log.content) == b"begun\n0123" + single_flight._DROPPED


async def test_output_written_by_another_thread_is_whole(build):
    flights = SingleFlight()
    log = MemoryLog()

    async def noisy(transcript):
        await asyncio.to_thread(lambda: [transcript.write(b"%d\n" % n) for n in range(1000)])

    await flights.run("key", noisy, log)
    assert bytes(log.content) == b"".join(b"%d\n" % number for number in range(1000))
