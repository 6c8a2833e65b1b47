"""An engine that answers, but fails at one job: that one waits, with back-off, and not for ever."""

import itertools

import pytest

from ci_common.job import JobStatus, Reason
from ci_controller.running.retry_policy import FILES_TRIES, LAUNCH_TRIES, BackOff
from support.controller_world import ENGINE_RETRY_SECONDS
from support.waiting import until

pytestmark = pytest.mark.anyio

INITIALIZING, RUNNING = JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


async def tick(world):
    """One tick, and what it began is over or waits for the test."""
    await world.controller.run_once()
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the runs")


async def tries(world, job_id, method, count):
    """Tick until the engine was asked so often in all."""
    for _ in range(100):
        await tick(world)
        if world.executor.count(method, job_id) >= count:
            return
        world.clock.advance(ENGINE_RETRY_SECONDS)
    pytest.fail(f"{method} was called {world.executor.count(method, job_id)} times")


@pytest.mark.parametrize("trouble", ["down", "failing"])
async def test_a_launch_that_the_engine_cannot_do_now_is_tried_again(world, trouble):
    getattr(world.executor, trouble).add("launch")
    job_id = await world.submit("out:hello", "exit:0")
    await tries(world, job_id, "launch", LAUNCH_TRIES - 1)
    assert (await world.row(job_id)).status is INITIALIZING
    getattr(world.executor, trouble).clear()
    world.clock.advance(ENGINE_RETRY_SECONDS)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == b"hello"
    await world.until_clean()


async def test_the_pauses_between_launches_grow(world, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    world.executor.failing.add("launch")
    job_id = await world.submit()
    moments = []
    for _ in range(200):
        before = world.executor.count("launch", job_id)
        await tick(world)
        if world.executor.count("launch", job_id) > before:
            moments.append(world.monotonic())
        world.clock.advance(0.25)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert pauses == [4.0, 8.0, 15.0, 15.0]


async def test_another_job_does_not_wait_for_one_that_the_engine_fails_at(world):
    world.executor.failing.add("launch")
    first = await world.submit()
    await tick(world)
    world.executor.failing.clear()
    second = await world.submit("exit:0")
    assert (await world.until_status(second, COMPLETED)).outcome.success
    assert (await world.row(first)).status is INITIALIZING
    assert world.executor.count("launch", first) == 1


async def test_a_launch_at_which_the_engine_always_fails_is_given_up(world):
    world.executor.failing.add("launch")
    job_id = await world.submit()
    await tries(world, job_id, "launch", LAUNCH_TRIES)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.LAUNCH_FAILED
    assert "no bridge" in job.outcome.message
    assert world.executor.count("launch", job_id) == LAUNCH_TRIES
    await world.until_clean()


async def test_an_engine_that_does_not_answer_is_waited_for(world):
    """Nothing is known about the job then."""
    world.executor.down.add("launch")
    job_id = await world.submit("exit:0")
    await tries(world, job_id, "launch", 3 * LAUNCH_TRIES)
    assert (await world.row(job_id)).status is INITIALIZING
    world.engine_returns()
    assert (await world.until_status(job_id, COMPLETED)).outcome.success


async def test_failures_around_an_outage_do_not_count(world):
    """An engine that shuts down fails at everything first."""
    world.executor.failing.add("launch")
    job_id = await world.submit("exit:0")
    for _ in range(3):
        await tries(
            world, job_id, "launch", world.executor.count("launch", job_id) + LAUNCH_TRIES - 1
        )
        world.executor.down.add("list")
        world.clock.advance(ENGINE_RETRY_SECONDS)
        await tick(world)
        world.engine_returns()
    assert (await world.row(job_id)).status is INITIALIZING


async def test_a_job_that_waits_can_be_cancelled(world):
    world.executor.failing.add("launch")
    job_id = await world.submit()
    await tick(world)
    await world.submissions.request_cancel(job_id, world.clock())
    await world.until_status(job_id, CANCELLED)
    await world.until_clean()


@pytest.mark.parametrize("trouble", ["down", "failing"])
@pytest.mark.parametrize("method", ["reattach", "inspect", "files"])
async def test_a_job_that_runs_is_followed_again(world, trouble, method):
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello")
    getattr(world.executor, trouble).add(method)
    workload = world.executor.workloads[job_id]
    if method == "reattach":  # what the next controller begins with
        await world.controller.close()
        world.controller = world.new_controller()
    workload.exit(3)
    calls = world.executor.count(method, job_id)
    await tries(world, job_id, method, calls + 3)
    assert (await world.row(job_id)).status is RUNNING
    getattr(world.executor, trouble).clear()
    world.clock.advance(ENGINE_RETRY_SECONDS)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.exit_code, world.log(job_id)) == (3, b"hello")
    await world.until_clean()


async def test_files_that_the_engine_never_hands_out_are_left_out(world):
    job_id = await world.submit("file:output/a=b", "exit:3")
    world.executor.failing.add("files")
    await tries(world, job_id, "files", FILES_TRIES)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.exit_code == 3
    assert "'output' is incomplete: no bridge" in job.outcome.message
    await world.until_clean()


@pytest.mark.parametrize("trouble", ["down", "failing"])
async def test_a_removal_is_tried_again_and_the_job_has_ended_meanwhile(world, trouble, caplog):
    getattr(world.executor, trouble).add("remove")
    job_id = await world.submit(env={"FAULT_LAUNCH": "LaunchFailedError"})
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.LAUNCH_FAILED
    tried = world.executor.count("remove", job_id)
    for _ in range(8):
        await tick(world)
        world.clock.advance(0.25)
    assert world.executor.count("remove", job_id) <= tried + 1, "there are pauses"
    assert "broke" not in caplog.text
    getattr(world.executor, trouble).clear()
    world.clock.advance(ENGINE_RETRY_SECONDS)
    await world.until_clean()


def test_back_off_begins_anew_after_a_success():
    now = [100.0]
    pauses = BackOff(lambda: now[0], 2.0)
    assert not pauses.waits
    pauses.failed()
    assert pauses.waits
    pauses.succeeded()
    assert (pauses.waits, pauses.failures) == (False, 0)
