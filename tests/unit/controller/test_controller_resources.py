"""Samples of CPU and memory: beside the ticks, over restarts, and of no concern to the job."""

import asyncio

import pytest

from ci_common.errors import EngineUnavailableError
from ci_common.job import JobStatus
from ci_common.resources import ResourceUsage
from ci_persistence.sqlite.job_details import SqliteJobDetails
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED = JobStatus.RUNNING, JobStatus.COMPLETED


async def until_saved(world, job_id, count):
    """Tick, two seconds apart, until so many samples are saved."""
    details = SqliteJobDetails(world.database)

    async def tick():
        world.clock.advance(2)
        used = world.executor.workloads[job_id].used
        more = ResourceUsage(used.cpu_seconds + 1, used.memory_bytes + 1)
        world.executor.workloads[job_id].used = more
        await world.controller.run_once()
        series = await details.resources(job_id)
        return len(series.samples) if series else 0

    await until(tick, lambda saved: saved >= count, f"{count} samples")
    return await details.resources(job_id)


async def test_samples_go_on_after_a_restart_and_end_with_the_job(world):
    job_id = await world.submit("out:")
    await world.until_status(job_id, RUNNING)
    before = await until_saved(world, job_id, 5)
    assert before.attempt == 1
    await world.controller.close()
    world.controller = world.new_controller()
    after = await until_saved(world, job_id, len(before.samples) + 5)
    assert after.samples[: len(before.samples)] == before.samples
    world.executor.workloads[job_id].exit(0)
    await world.until_status(job_id, COMPLETED)
    ended = await SqliteJobDetails(world.database).resources(job_id)
    assert ended.samples[: len(after.samples)] == after.samples
    assert ended.peak_memory_bytes >= after.peak_memory_bytes > 1 << 20


@pytest.mark.parametrize("trouble", [EngineUnavailableError("down"), TimeoutError(), None])
async def test_a_sample_that_fails_or_hangs_concerns_no_job(world, monkeypatch, trouble):
    hanging = asyncio.Event()

    async def usage(_job_id):
        if trouble is None:
            await hanging.wait()
        raise trouble

    monkeypatch.setattr(world.executor, "usage", usage)
    first = await world.submit("out:")
    await world.until_status(first, RUNNING)
    for _ in range(3):
        world.clock.advance(2)
        await world.controller.run_once()
    second = await world.submit("out:", "exit:0")
    await world.until_status(second, COMPLETED)
    world.executor.workloads[first].exit(0)
    assert (await world.until_status(first, COMPLETED)).outcome.success
    await world.until_clean()
