"""A disk that is full, or broken, while a log is written."""

import errno

import pytest

from ci_common.job import JobStatus, Reason
from support.controller_world import ControllerWorld

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@pytest.fixture
async def world(tmp_path):
    world = await ControllerWorld(tmp_path).open()
    yield world
    await world.close()
    assert world.executor.violations == []


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

    @property
    def size(self):
        return self._appender.size

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
    assert job.log_size == 10
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
