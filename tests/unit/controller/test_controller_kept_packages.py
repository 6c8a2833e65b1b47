"""A controller that keeps packages after their jobs' ends: which, and until when."""

import pytest

from ci_common.job import JobStatus, Reason
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

DAY = 86_400


@pytest.fixture
async def world(tmp_path):
    world = await ControllerWorld(tmp_path, package_days=3).open()
    yield world
    await world.close()
    assert world.executor.violations == []


async def ended(world, status=JobStatus.COMPLETED, **options):
    job_id = await world.submit("exit:0", **options)
    return await world.until_status(job_id, status)


async def until_packages(world, expected):
    """Tick, and let time pass for what rests."""

    async def tick():
        world.clock.advance(6)
        await world.controller.run_once()
        return set(world.packages.job_ids(0))

    await until(tick, lambda found: found == {job.job_id for job in expected}, "these packages")


async def test_a_package_stays_until_its_time_by_the_clock(world):
    job = await ended(world)
    assert job.package_kept
    await until_packages(world, [job])
    world.clock.advance(3 * DAY - 600)
    await until_packages(world, [job])
    world.clock.advance(600)
    await until_packages(world, [])
    row = await world.row(job.job_id)
    assert (row.package_kept, row.package) == (False, job.package)


async def test_a_clock_that_is_set_ahead_drops_nothing_for_an_hour(world):
    job = await ended(world)
    world.set_clock(9 * DAY)
    await until_packages(world, [job])
    world.clock.advance(3601)
    await until_packages(world, [])


async def test_a_job_that_was_cancelled_in_the_queue_keeps_its_package(world):
    job_id = await world.submit()
    await world.submissions.request_cancel(job_id, world.clock())
    job = await world.until_status(job_id, JobStatus.CANCELLED)
    await until_packages(world, [job])
    assert job.has_package


async def test_a_package_that_is_damaged_is_not_kept(world):
    job = await ended(world, JobStatus.FAILED, env={"FAULT_LAUNCH": "PackageCorruptError"})
    assert (job.outcome.reason, job.package_kept) == (Reason.PACKAGE_CORRUPT, False)
    await until_packages(world, [])


async def test_packages_go_when_the_disk_is_full_and_live_ones_stay(world):
    await ended(world)
    live = await world.row(await world.submit("out:x"))
    await world.until_status(live.job_id, JobStatus.RUNNING)
    world.free_bytes = 0
    await until_packages(world, [live])
    world.executor.workloads[live.job_id].exit(0)
    await world.until_status(live.job_id, JobStatus.COMPLETED)
    await until_packages(world, [])
