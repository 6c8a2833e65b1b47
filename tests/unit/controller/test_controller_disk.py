"""A disk that is full, or broken, while a log is written."""

import errno

import pytest

from ci_common.errors import DiskFullError
from ci_common.job import JobStatus, Reason
from ci_controller.running.outcome import LOST_OUTPUT
from ci_persistence.logs.appender import SegmentAppender
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


class FullDisk:
    """A log store whose files take only so many bytes."""

    def __init__(self, logs, most):
        self._logs, self._most = logs, most

    def open(self, job_id, epoch):
        return _FullAppender(self._logs.open(job_id, epoch), self._most)


class _FullAppender:
    def __init__(self, appender, most):
        self._appender, self._most = appender, most
        self.sync, self.close = appender.sync, appender.close
        self.drop_held, self.read = appender.drop_held, appender.read

    @property
    def size(self):
        return self._appender.size

    @property
    def at_line_start(self):
        return self._appender.at_line_start

    def append(self, content):
        room = self._most - self.size
        self._appender.append(content[:room])
        if len(content) > room:
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_fails_the_job_and_keeps_what_was_stored(world):
    await world.controller.close()
    world.controller = world.new_controller(FullDisk(world.logs, 10))
    job_id = await world.submit("out:0123456789abcdef")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.DISK_FULL
    assert world.log(job_id) == b"0123456789"
    assert (job.log_size, job.log_dropped) == (10, None)
    assert job.outcome.message.endswith(LOST_OUTPUT)
    await world.until_clean()


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


async def until_waiting(world, job_id, ticks=3):
    """A few ticks; nothing is told of the job's end."""
    for _ in range(ticks):
        await world.controller.run_once()
        await until(lambda: world.controller._runs, lambda runs: job_id not in runs, "no run")
        assert not (await world.row(job_id)).status.is_terminal


async def test_a_job_whose_log_cannot_be_begun_waits_for_room(world, monkeypatch):
    monkeypatch.setattr(world.logs, "open", no_room)
    job_id = await world.submit("out:hello", "exit:0")
    await world.controller.run_once()
    await until_waiting(world, job_id)
    assert world.executor.workloads == {}
    monkeypatch.undo()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.log(job_id) == b"hello"


@pytest.mark.parametrize("where", ["log", "row"])
async def test_an_end_that_cannot_be_recorded_for_want_of_room_is_recorded_later(
    world, monkeypatch, where
):
    """What is recorded then is what is true then: the whole log, or that it is not whole."""
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    if where == "log":
        monkeypatch.setattr(SegmentAppender, "sync", no_room)
    else:
        transitions = world.controller._context.transitions

        async def no_row(*_, **__):
            raise DiskFullError

        monkeypatch.setattr(transitions, "finish", no_row)
    world.executor.workloads[job_id].exit(3)
    await until_waiting(world, job_id)
    assert job_id in world.executor.workloads
    monkeypatch.undo()
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.exit_code, job.log_size) == (3, 5)
    assert world.log(job_id) == b"hello"
    await world.until_clean()


async def test_another_error_of_the_log_is_a_defect(world):
    await world.controller.close()

    class Broken(FullDisk):
        def open(self, job_id, epoch):
            appender = super().open(job_id, epoch)

            def append(content):
                raise OSError(errno.EIO, "Input/output error")

            appender.append = append
            return appender

    world.controller = world.new_controller(Broken(world.logs, 10))
    job_id = await world.submit("out:hello")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.INTERNAL
    await world.until_clean()
