"""The wall clock is set, forward or back, while jobs run."""

import pytest

from ci_common.job import JobStatus, Reason
from support.controller_world import GRACE_SECONDS
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED, FAILED = JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED
CANCELLED = JobStatus.CANCELLED

DAY = 86_400.0
BOTH_WAYS = pytest.mark.parametrize("by", [3 * DAY, -3 * DAY], ids=["forward", "back"])


async def running(world, **options):
    job_id = await world.submit(timeout=30.0, **options)
    await world.until_status(job_id, RUNNING)
    await world.controller.run_once()
    return job_id


@BOTH_WAYS
async def test_a_job_is_not_stopped_for_time_that_did_not_pass(world, by):
    job_id = await running(world)
    world.set_clock(by)
    for _ in range(3):
        await world.controller.run_once()
    assert world.executor.count("stop", job_id) == 0
    world.clock.advance(29)
    await world.controller.run_once()
    assert world.executor.count("stop", job_id) == 0
    world.executor.workloads[job_id].exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    await world.until_clean()


@BOTH_WAYS
async def test_a_timeout_comes_when_its_time_has_passed(world, by):
    job_id = await running(world)
    world.clock.advance(20)
    world.set_clock(by)
    world.clock.advance(10)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.TIMEOUT, 143)
    await world.until_clean()


@BOTH_WAYS
async def test_a_cancelled_job_is_cancelled(world, by):
    job_id = await running(world)
    await world.submissions.request_cancel(job_id, world.clock())
    world.set_clock(by)
    job = await world.until_status(job_id, CANCELLED)
    assert job.outcome.exit_code == 143
    await world.until_clean()


@BOTH_WAYS
async def test_a_workload_that_is_missing_is_waited_for_all_the_same(world, by):
    job_id = await running(world)
    world.executor.vanish(job_id)
    await until(lambda: world.controller._runs, lambda runs: not runs, "no run")
    await world.controller.run_once()
    world.set_clock(by)
    await world.controller.run_once()
    assert (await world.row(job_id)).status is RUNNING
    world.clock.advance(GRACE_SECONDS)
    assert (await world.until_status(job_id, FAILED)).outcome.reason is Reason.LOST


@BOTH_WAYS
async def test_who_holds_the_lease_keeps_it(world, by):
    job_id = await running(world)
    standby = world.new_controller()
    await standby.run_once()
    world.set_clock(by)
    for _ in range(4):
        await standby.run_once()
        world.clock.advance(1.6)
        await world.controller.run_once()
    assert standby._leadership.epoch is None
    assert world.controller._leadership.epoch == 1
    assert (await world.row(job_id)).status is RUNNING


@BOTH_WAYS
async def test_a_lease_that_is_not_renewed_runs_out(world, by):
    """Also when the moment at which it would have ended is days away now."""
    job_id = await running(world)
    standby = world.new_controller()
    await standby.run_once()
    world.set_clock(by)
    world.executor.several_processes = True

    async def tick():
        world.clock.advance(2.0)
        await standby.run_once()
        return standby._leadership.epoch

    passed = world.monotonic()
    assert await until(tick, what="a take-over") == 2
    assert 8 <= world.monotonic() - passed <= 14
    assert (await world.row(job_id)).status is RUNNING
