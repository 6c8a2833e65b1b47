"""Artifacts that take long: other jobs go on, and no controller collects them twice."""

import threading
from dataclasses import replace

import pytest

from ci_common.errors import EngineUnavailableError
from ci_common.job import JobStatus
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED = JobStatus.RUNNING, JobStatus.COMPLETED


@pytest.fixture
async def world(tmp_path):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=1).open()
    yield world
    await world.close()
    assert world.executor.violations == []


async def collecting(world):
    """A job whose command has ended, and whose artifacts do not come; and what lets them."""
    job_id = await world.submit("file:output/a=content", "exit:0")
    hold = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    return job_id, hold


async def test_the_next_job_starts_while_artifacts_are_collected(world):
    first, hold = await collecting(world)
    second = await world.submit("exit:0")
    await world.until_status(second, COMPLETED)
    assert (await world.row(first)).status is RUNNING
    hold.release()
    await world.until_status(first, COMPLETED)
    assert [a.path for a in await world.submissions.artifacts(first)] == ["output/a"]
    await world.until_clean()


async def test_the_bell_is_rung_when_a_command_has_ended(world):
    """Or the next job would wait for the tick that comes anyway."""
    first, hold = await collecting(world)
    await world.submit("exit:0")
    await world.controller._bell.wait(5)
    await world.controller.run_once()
    assert (await world.row(first)).status is RUNNING
    await until(lambda: world.executor.calls, lambda calls: len(_launched(calls)) == 2, "a launch")
    hold.release()


def _launched(calls):
    return [job_id for method, job_id in calls if method == "launch"]


async def test_another_controller_collects_from_the_beginning(world):
    job_id, _ = await collecting(world)
    second = await world.submit("exit:0")
    old = world.take_over()
    await world.until_status(second, COMPLETED)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert [a.path for a in await world.submissions.artifacts(job_id)] == ["output/a"]
    await old.run_once()
    await world.until_clean()
    assert list((world.data_path / "staging/artifacts").iterdir()) == []


class Endless:
    """Files that never come, until somebody has had enough."""

    def __init__(self):
        self.closed = threading.Event()

    def __iter__(self):
        assert self.closed.wait(30)
        raise EngineUnavailableError("closed")
        yield

    def close(self):
        self.closed.set()


async def test_a_cancel_ends_the_collection_soon_and_changes_no_result(world, monkeypatch):
    collector = world.controller._context.artifacts
    collector._limits = replace(collector._limits, cancelled_seconds=0.05)
    files = Endless()

    async def given(job_id, path):
        return files

    monkeypatch.setattr(world.executor, "files", given)
    job_id = await world.submit("exit:0")
    await world.until_status(job_id, RUNNING)
    await until(lambda: collector._times, what="a collection")
    world.clock.advance(1)
    await world.submissions.request_cancel(job_id, world.clock())
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert "of the job's cancellation" in job.artifacts_left_out
    await world.until_clean()
