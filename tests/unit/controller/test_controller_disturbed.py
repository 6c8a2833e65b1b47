"""An engine that answers and starts nothing: no job is to blame, so all wait; but one that the
engine refuses while it starts others is.
"""

import itertools

import pytest

from ci_common.errors import EngineDisturbedError
from ci_common.job import JobStatus, Reason
from ci_controller.running.retry_policy import LAUNCH_TRIES
from support.controller_world import ENGINE_RETRY_SECONDS
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
REFUSED = {"FAULT_LAUNCH": "EngineFailingError"}


async def tick(world, seconds=ENGINE_RETRY_SECONDS):
    """One tick, what it began is over, and time passes."""
    controller = world.controller
    await controller.run_once()
    await until(lambda: controller._runs, lambda runs: not runs, "the end of the runs")
    await until(
        lambda: "probe" in controller._background.under_way(),
        lambda busy: not busy,
        "the probe's end",
    )
    world.clock.advance(seconds)


async def disturb(world, ticks=3 * LAUNCH_TRIES):
    """The engine starts nothing, for longer than any job is tried."""
    world.executor.failing |= {"launch", "probe"}
    for _ in range(ticks):
        await tick(world)


async def engine_error(world):
    return (await world.submissions.controller_state()).engine_error


def recover(world):
    world.executor.failing.clear()


@pytest.mark.parametrize("count", [1, 2, 9])
async def test_jobs_wait_for_an_engine_that_starts_nothing(world, count):
    """A single one, too: there need not be a second one to compare it with."""
    jobs = [await world.submit("out:hello", "exit:0") for _ in range(count)]
    await disturb(world)
    assert {(await world.row(job)).status for job in jobs} <= {QUEUED, INITIALIZING}
    assert sum(world.executor.count("launch", job) for job in jobs) <= 4, "no more is begun"
    assert EngineDisturbedError.code in await engine_error(world)
    recover(world)
    await tick(world)
    for job in jobs:
        assert (await world.until_status(job, COMPLETED)).outcome.success
        assert world.log(job) == b"hello"
    assert await engine_error(world) is None
    await world.until_clean()


async def test_the_engine_is_tried_again_with_pauses_that_grow(world, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    world.executor.failing |= {"launch", "probe"}
    await world.submit()
    moments = []
    for _ in range(280):
        before = world.executor.count("probe")
        now = world.monotonic()
        await tick(world, 0.25)
        moments += [now] * (world.executor.count("probe") - before)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert pauses == [4.0, 8.0, 15.0, 15.0, 15.0]


async def test_an_outage_does_not_use_up_the_tries_of_a_job(world):
    """Whatever failed before it is explained by it."""
    world.executor.failing.add("launch")
    job_id = await world.submit("exit:0")
    for _ in range(LAUNCH_TRIES - 1):
        await tick(world)
    await disturb(world)
    world.executor.failing.discard("probe")
    for _ in range(LAUNCH_TRIES - 1):
        await tick(world)
    assert (await world.row(job_id)).status is INITIALIZING
    recover(world)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success


async def test_one_job_that_is_refused_among_many_good_ones(world):
    bad = await world.submit(env=REFUSED)
    good = [await world.submit("exit:0") for _ in range(6)]
    for _ in range(LAUNCH_TRIES + 2):
        await tick(world)
    assert {(await world.row(job)).status for job in good} == {COMPLETED}
    job = await world.row(bad)
    assert (job.status, job.outcome.reason) == (FAILED, Reason.LAUNCH_FAILED)
    assert world.executor.count("launch", bad) == LAUNCH_TRIES
    assert await engine_error(world) is None
    await world.until_clean()


async def test_all_jobs_of_one_tenant_are_bad_and_halt_nobody_elses(world):
    """As many as there are slots: nothing else is there to be compared with."""
    bad = [await world.submit(tenant="bad", env=REFUSED) for _ in range(6)]
    good = [await world.submit("exit:0", tenant="good") for _ in range(3)]
    for _ in range(3 * LAUNCH_TRIES):
        await tick(world)
        assert await engine_error(world) is None
    assert {(await world.row(job)).status for job in good} == {COMPLETED}
    assert {(await world.row(job)).outcome.reason for job in bad} == {Reason.LAUNCH_FAILED}


async def test_a_bad_job_during_a_disturbance_is_told_after_it(world):
    bad = await world.submit(env=REFUSED)
    good = await world.submit("exit:0")
    await disturb(world)
    recover(world)
    await tick(world)
    assert (await world.until_status(good, COMPLETED)).outcome.success
    for _ in range(LAUNCH_TRIES + 1):
        await tick(world)
    assert (await world.row(bad)).outcome.reason is Reason.LAUNCH_FAILED


async def test_a_refusal_in_words_that_blame_the_job_is_examined_too(world):
    """A broken control group says of every job that its limit is invalid."""
    refused = {"FAULT_LAUNCH": "LaunchFailedError"}
    job_id = await world.submit(env=refused)
    world.executor.failing.add("probe")
    for _ in range(3):
        await tick(world)
    assert (await world.row(job_id)).status is INITIALIZING
    recover(world)
    await tick(world)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.LAUNCH_FAILED
    assert world.executor.count("launch", job_id) == 2


@pytest.mark.parametrize("fault", ["ImageUnavailableError", "SetupFailedError"])
async def test_what_is_surely_the_jobs_own_needs_no_probe(world, fault):
    world.executor.failing.add("probe")
    job_id = await world.submit(env={"FAULT_LAUNCH": fault})
    await world.until_status(job_id, FAILED)
    assert world.executor.count("probe") == 0


async def test_a_registry_that_is_away_is_no_disturbance(world):
    """Jobs with images that are on the engine run; the one without is tried a few times."""
    world.executor.failing.add("probe")
    job_id = await world.submit(env={"FAULT_LAUNCH": "RegistryUnavailableError"})
    good = await world.submit("exit:0")
    for _ in range(LAUNCH_TRIES + 1):
        await tick(world)
    assert (await world.row(good)).status is COMPLETED
    assert (await world.row(job_id)).outcome.reason is Reason.IMAGE_UNAVAILABLE
    assert world.executor.count("launch", job_id) == LAUNCH_TRIES


async def test_jobs_that_run_are_followed_to_their_end_meanwhile(world):
    running = await world.submit("out:hello")
    await world.until_status(running, RUNNING)
    waiting = await world.submit("exit:0")
    world.executor.failing |= {"launch", "probe"}
    await until_disturbed(world)
    world.executor.workloads[running].exit(3)
    job = await world.until_status(running, COMPLETED)
    assert (job.outcome.exit_code, world.log(running)) == (3, b"hello")
    assert (await world.row(waiting)).status in (QUEUED, INITIALIZING)


async def until_disturbed(world):
    async def look():
        await world.controller.run_once()
        return await engine_error(world)

    await until(look, lambda error: error and EngineDisturbedError.code in error, "a disturbance")


@pytest.mark.parametrize("waits_as", [QUEUED, INITIALIZING])
async def test_cancelled_while_it_waits(world, waits_as):
    jobs = [await world.submit() for _ in range(6)]
    await disturb(world, 2)
    (job_id, *_) = [job for job in jobs if (await world.row(job)).status is waits_as]
    await world.submissions.request_cancel(job_id, world.clock())
    await world.until_status(job_id, CANCELLED)
    assert EngineDisturbedError.code in await engine_error(world)
    for other in jobs:
        if other != job_id:
            await world.submissions.request_cancel(other, world.clock())
            await world.until_status(other, CANCELLED)
    recover(world)
    for _ in range(3):
        await tick(world)
    assert await engine_error(world) is None, "it recovers without a job, too"
    await world.until_clean()


@pytest.mark.parametrize("recovered", [False, True])
async def test_a_controller_that_is_restarted_meanwhile_comes_to_the_same(world, recovered):
    jobs = [await world.submit("out:hello", "exit:0") for _ in range(6)]
    await disturb(world)
    await world.controller.close()
    if recovered:
        recover(world)
    world.controller = world.new_controller()
    if not recovered:
        await disturb(world)
        assert EngineDisturbedError.code in await engine_error(world)
        recover(world)
        await tick(world)
    for job in jobs:
        assert (await world.until_status(job, COMPLETED)).outcome.success
        assert world.log(job) == b"hello"
    assert await engine_error(world) is None


async def test_an_engine_that_goes_away_while_it_is_disturbed(world):
    job_id = await world.submit("exit:0")
    await disturb(world, 2)
    world.executor.down.add("all")
    await tick(world)
    assert "does not answer" in await engine_error(world)
    world.executor.down.clear()
    await tick(world)
    await tick(world)
    assert EngineDisturbedError.code in await engine_error(world)
    recover(world)
    await tick(world)
    await tick(world)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success


async def test_an_engine_that_does_not_answer_the_probe_decides_nothing(world):
    world.executor.failing.add("launch")
    world.executor.down.add("probe")
    job_id = await world.submit("exit:0")
    for _ in range(2 * LAUNCH_TRIES):
        await tick(world)
    assert (await world.row(job_id)).status is INITIALIZING
    assert world.executor.count("launch", job_id) > LAUNCH_TRIES
