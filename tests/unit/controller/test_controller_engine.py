"""An engine that is down is asked less and less often; the lease is kept meanwhile."""

import itertools

import pytest

from ci_common.job import JobStatus

pytestmark = pytest.mark.anyio

QUEUED, RUNNING, COMPLETED = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED
STEP_SECONDS = 0.25


async def pauses(world, seconds):
    """Tick for so long; the times between two questions to the engine."""
    asked, count = [], world.executor.count("list")
    for _ in range(int(seconds / STEP_SECONDS)):
        await world.controller.run_once()
        if world.executor.count("list") > count:
            assert world.executor.count("list") == count + 1
            count += 1
            asked.append(world.monotonic())
        world.clock.advance(STEP_SECONDS)
    return [later - earlier for earlier, later in itertools.pairwise(asked)]


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        (lambda low, high: high, [4.0, 8.0, 15.0, 15.0, 15.0]),
        (lambda low, high: low, [2.0, 4.0, 7.5, 7.5, 7.5]),
    ],
)
async def test_the_pauses_grow_up_to_a_bound(world, monkeypatch, pick, expected):
    monkeypatch.setattr("random.uniform", pick)
    world.executor.down.add("list")
    assert (await pauses(world, 70))[:5] == expected


async def test_the_pauses_are_not_in_step(world):
    world.executor.down.add("list")
    seen = await pauses(world, 300)
    bounds = [4.0, 8.0] + [15.0] * len(seen)
    for pause, bound in zip(seen, bounds, strict=False):
        assert bound / 2 <= pause <= bound + STEP_SECONDS
    assert 300 / 15 <= len(seen) <= 300 / 7.5
    assert len(set(seen)) > 3


async def test_an_engine_that_is_back_is_asked_at_every_tick(world, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    world.executor.down.add("list")
    await pauses(world, 60)
    world.engine_returns()
    assert await pauses(world, 2) == [STEP_SECONDS] * 7
    world.executor.down.add("list")
    assert (await pauses(world, 5))[0] == 4.0, "a new outage begins with a short pause"


async def test_while_the_engine_is_down_the_lease_is_kept_and_the_error_told(world):
    world.executor.down.add("all")
    job_id = await world.submit()
    standby = world.new_controller()
    for _ in range(30):
        await world.controller.run_once()
        await standby.run_once()
        world.clock.advance(2)
        state = await world.submissions.controller_state()
        assert "does not answer" in state.engine_error
        assert (world.clock() - state.heartbeat_at).total_seconds() <= 2
    assert standby._leadership.epoch is None
    assert (await world.row(job_id)).status is QUEUED
    world.engine_returns()
    await world.until_status(job_id, RUNNING)
    assert (await world.submissions.controller_state()).engine_error is None


async def test_an_engine_that_hangs_counts_as_down(world, monkeypatch):
    monkeypatch.setattr("ci_controller.reconcile.controller._OBSERVE_SECONDS", 0.01)
    hold = world.executor.hold("list", "")
    await world.controller.run_once()
    assert hold.reached.is_set()
    state = await world.submissions.controller_state()
    assert "in time" in state.engine_error
    world.engine_returns()
    await world.controller.run_once()
    assert (await world.submissions.controller_state()).engine_error is None


async def test_the_lease_is_renewed_often_enough_and_not_at_every_tick(world):
    await world.controller.run_once()
    first = await heartbeat(world)
    for _ in range(5):
        world.clock.advance(0.25)
        await world.controller.run_once()
    assert await heartbeat(world) == first
    world.clock.advance(0.25)
    await world.controller.run_once()
    assert await heartbeat(world) == world.clock()
    standby = world.new_controller()
    for _ in range(20):
        world.clock.advance(2)
        await world.controller.run_once()
        await standby.run_once()
        assert await heartbeat(world) == world.clock()
    assert (world.controller._leadership.epoch, standby._leadership.epoch) == (1, None)


async def heartbeat(world):
    return (await world.submissions.controller_state()).heartbeat_at
