"""Cancelled and timed-out jobs, in every status."""

import pytest

from ci_common.job import JobStatus, Reason, ResourceLimits
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


async def cancel(world, job_id):
    await world.submissions.request_cancel(job_id, world.clock())


async def test_cancel_while_queued(tmp_path):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=1).open()
    try:
        running = await world.submit()
        queued = await world.submit()
        await world.until_status(running, RUNNING)
        await cancel(world, queued)
        job = await world.until_status(queued, CANCELLED)
        assert (job.outcome.reason, job.log_size) == (Reason.CANCELLED, 0)
        assert world.executor.count("launch", queued) == 0
        # Recorded first, then cleaned up.
        await until(lambda: world.packages.job_ids(0), lambda left: left == [running], "its zip")
    finally:
        await world.close()


async def test_cancel_while_queued_without_the_engine(world):
    world.executor.down.add("all")
    job_id = await world.submit()
    await cancel(world, job_id)
    assert (await world.until_status(job_id, CANCELLED)).outcome.reason is Reason.CANCELLED


async def test_cancel_while_initializing(world):
    world.executor.launch_gate.clear()
    job_id = await world.submit()
    await world.until_status(job_id, INITIALIZING)
    await until(lambda: world.executor.launches_waiting, what="a launch under way")
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert job.started_at is None
    await world.until_clean()


@pytest.mark.parametrize("point", ["launch", "made"])
async def test_cancel_in_the_middle_of_a_launch(world, point):
    """Before there is a container, and when there is one that was not started."""
    job_id = await world.submit("out:hello", "exit:0")
    hold = world.executor.hold(point, job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert (job.started_at, job.log_size) == (None, 0)
    await world.until_clean()


async def test_cancel_while_its_artifacts_are_collected_comes_too_late(world):
    job_id = await world.submit("file:output/a=content", "exit:0")
    hold = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    world.clock.advance(1)
    await cancel(world, job_id)
    await world.controller.run_once()
    hold.release()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.executor.count("stop", job_id) == 0
    await world.until_clean()


async def test_cancel_before_the_first_tick_never_starts(world):
    job_id = await world.submit()
    await cancel(world, job_id)
    await world.until_status(job_id, CANCELLED)
    assert world.executor.count("launch", job_id) == 0
    await world.until_clean()


async def test_a_job_that_ended_while_a_tick_was_under_way_is_not_started_again(world, monkeypatch):
    """The rows were read before its end was recorded, and its run was over when they were used."""
    job_id = await world.submit("exit:0")
    hold = world.executor.hold("launch", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    transitions = world.controller._context.transitions
    rows = await transitions.active()
    assert [job.status for job in rows] == [INITIALIZING]
    monkeypatch.setattr(world.packages, "delete", lambda job_id: None)
    hold.release()
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the run")
    assert (await world.row(job_id)).status is COMPLETED
    monkeypatch.setattr(transitions, "active", lambda: _returned(rows))
    await world.controller.run_once()
    await until(lambda: world.controller._runs, lambda runs: not runs, "no run")
    monkeypatch.undo()
    world.packages.delete(job_id)
    await world.until_clean()
    assert world.executor.count("launch", job_id) == 1


async def _returned(value):
    return value


@pytest.mark.parametrize("env", [{}, {"FAULT_STUBBORN": "1"}])
async def test_cancel_while_running(world, env):
    limits = ResourceLimits(grace_seconds=0.05)
    job_id = await world.submit("out:hello", env=env, limits=limits)
    await world.until_status(job_id, RUNNING)
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert job.outcome.exit_code == (137 if env else 143)
    assert world.log(job_id) == b"hello"
    assert world.executor.count("stop", job_id) >= 1  # again by a tick that sees it end
    assert set(world.executor.graces) == {0.05}, "each job has its own"
    await world.until_clean()


async def test_cancel_after_the_end_changes_nothing(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    world.executor.workloads[job_id].exit(0)
    world.clock.advance(1)
    await cancel(world, job_id)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert job.cancel_requested_at is not None


async def test_timeout(world):
    job_id = await world.submit(timeout=30.0)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(29.9)
    await world.controller.run_once()
    assert (await world.row(job_id)).status is RUNNING
    world.clock.advance(0.1)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.TIMEOUT, 143)
    await world.until_clean()


async def test_the_next_deadline_shortens_the_wait_and_a_past_one_does_not(world):
    job_id = await world.submit(timeout=30.0, env={"FAULT_STUBBORN": "1"})
    waits = []
    world.controller._bell.wait = lambda seconds: _noted(waits, seconds)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(29.5)
    await world.controller.run_once()
    await world.controller._wait()
    world.executor.down.add("stop")
    world.clock.advance(10)
    await world.controller.run_once()
    await world.controller._wait()
    assert waits == [0.5, 2.0]


async def test_a_deadline_of_before_does_not_hurry_who_lost_the_lease(world):
    job_id = await world.submit(timeout=30.0)
    await world.until_status(job_id, RUNNING)
    await world.controller.run_once()
    old = world.take_over()
    await world.controller.run_once()
    world.clock.advance(30)
    waits = []
    old._bell.wait = lambda seconds: _noted(waits, seconds)
    for _ in range(2):
        await old.run_once()
        await old._wait()
    assert waits == [2.0, 2.0]


async def _noted(waits, seconds):
    waits.append(seconds)


async def test_a_stop_that_takes_several_ticks_is_told_once(world, caplog):
    caplog.set_level("INFO")
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    world.executor.down.add("stop")
    await cancel(world, job_id)

    async def tick():
        await world.controller.run_once()
        world.clock.advance(1)
        return world.executor.count("stop", job_id)

    await until(tick, lambda count: count >= 3, "three tries")
    world.engine_returns()
    await world.until_status(job_id, CANCELLED)
    assert caplog.text.count("stopping its workload") == 1
    await world.until_clean()
