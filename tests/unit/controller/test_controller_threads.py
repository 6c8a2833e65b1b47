"""Runs that are cancelled: what works for them is waited for, and leaves nothing."""

import asyncio
import threading

import pytest

from ci_common.job import JobStatus
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED, CANCELLED = JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.CANCELLED


class Point:
    """Where a thread waits for the test, the first time."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def come(self):
        if not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)


class SlowLogs:
    """Logs on a slow disk, which says what happens to them, and when."""

    def __init__(self, logs):
        self._logs = logs
        self.opening, self.finishing = Point(), Point()
        self.opening.go_on.set()
        self.finishing.go_on.set()
        self.opened = []
        self.events = []

    def open(self, job_id, epoch):
        log = self._logs.open(job_id, epoch)
        self.opened.append(log)
        self.opening.come()
        read, close = log.read, log.close

        def slow_read(offset, limit):
            if threading.current_thread().name.startswith("asyncio"):  # not the output's own
                self.events.append("used")
                self.finishing.come()
                self.events.append("left")
            return read(offset, limit)

        def noted_close():
            self.events.append("closed")
            close()

        log.read, log.close = slow_read, noted_close
        return log


@pytest.fixture
async def logs(world):
    logs = SlowLogs(world.logs)
    await world.controller.close()
    world.controller = world.new_controller(logs)
    yield logs
    logs.opening.go_on.set()
    logs.finishing.go_on.set()


async def test_cancelled_while_its_log_is_opened(world, logs):
    """There is one appender at a time, and none is left open."""
    logs.opening.go_on.clear()
    job_id = await world.submit()
    await world.controller.run_once()
    await until(logs.opening.reached.is_set, what="a log that is opened")
    await world.submissions.request_cancel(job_id, world.clock())
    await world.controller.run_once()
    (task,) = world.controller._background.tasks("finish")
    await asyncio.wait([task], timeout=0.05)
    assert len(logs.opened) == 1
    logs.opening.go_on.set()
    await world.until_status(job_id, CANCELLED)
    await until(lambda: logs.events.count("closed"), lambda count: count == 2, "two closed logs")
    assert [log._descriptor for log in logs.opened] == [None, None]
    await world.until_clean()


async def test_cancelled_while_a_thread_writes_the_end_of_its_log(world, logs):
    """The file's number would be another file's by then."""
    logs.finishing.go_on.clear()
    job_id = await world.submit("out:hello", "exit:0")
    await world.until_status(job_id, RUNNING)
    await until(logs.finishing.reached.is_set, what="the end of the log")
    closing = asyncio.create_task(world.controller.close())
    await asyncio.wait([closing], timeout=0.05)
    logs.finishing.go_on.set()
    await closing
    assert logs.events == ["used", "left", "closed"]
    world.controller = world.new_controller()
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"hello"
    await world.until_clean()


async def test_a_run_that_fails_while_it_is_dropped_leaves_no_task(world, logs):
    """The database is about to be closed."""
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)

    def fail():
        raise ZeroDivisionError

    logs.opened[-1].close = fail
    await world.controller.close()
    assert (world.controller._runs, world.controller._background.tasks()) == ({}, [])
    world.controller = world.new_controller()
    await world.controller.run_once()
    assert (await world.row(job_id)).status is RUNNING
