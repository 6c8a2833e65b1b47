"""What takes long at a launch is in the row, for whoever waits."""

import pytest

from ci_common.errors import StorageUnavailableError
from ci_common.job import JobStatus
from ci_common.launch_step import LaunchStage, LaunchStep
from support.controller_world import ENGINE_RETRY_SECONDS
from support.waiting import until

pytestmark = pytest.mark.anyio

INSTALLING = LaunchStep(LaunchStage.INSTALLING)


async def until_step(world, job_id, step):
    async def current():
        return (await world.row(job_id)).launch_step

    return await until(current, lambda seen: seen == step, what=f"the step {step}")


async def test_the_last_stage_is_told_until_the_job_runs(world):
    world.executor.launch_gate.clear()
    job_id = await world.submit("exit:0", env={"STAGES": "pulling installing"})
    await world.controller.run_once()
    await until_step(world, job_id, INSTALLING)
    world.executor.launch_gate.set()
    job = await world.until_status(job_id, JobStatus.COMPLETED)
    assert job.launch_step is None


async def test_a_launch_that_the_engine_failed_at_says_which_try_follows(world):
    job_id = await world.submit(env={"FAULT_LAUNCH": "RegistryUnavailableError"})
    for number in (2, 3):
        await world.controller.run_once()
        await until_step(world, job_id, LaunchStep(LaunchStage.RETRYING, number))
        await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the try")
        world.clock.advance(ENGINE_RETRY_SECONDS)


async def test_a_step_that_cannot_be_written_delays_nothing(world, monkeypatch):
    async def refuse(*arguments):
        raise StorageUnavailableError

    monkeypatch.setattr(type(world.controller._context.transitions), "note_launch_step", refuse)
    job_id = await world.submit("exit:0", env={"STAGES": "pulling"})
    job = await world.until_status(job_id, JobStatus.COMPLETED)
    assert job.outcome.success
