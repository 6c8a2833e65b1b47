"""Jobs without a package: launched with none, tried again, adopted and ended as others are."""

import pytest

from ci_common.job import JobStatus, Reason
from support.controller_world import LOST_LINE
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, RUNNING = JobStatus.QUEUED, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


async def test_the_executor_is_given_no_package(world):
    job_id = await world.submit("out:hello ", without_package=True)
    other = await world.submit("out:hello ")
    for each in (job_id, other):
        await world.until_status(each, RUNNING)
    packages = [world.executor.workloads[each].request.package for each in (job_id, other)]
    assert packages[0] is None
    assert packages[1] is not None
    world.executor.workloads[job_id].exit(3)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.package, job.outcome.reason, job.outcome.exit_code) == (None, Reason.EXIT, 3)
    assert world.log(job_id) == b"hello "
    world.executor.workloads[other].exit(0)
    await world.until_status(other, COMPLETED)
    await world.until_clean()


async def test_one_whose_workload_is_lost_is_tried_again_without_a_package(world):
    job_id = await world.submit("out:x", without_package=True, retries=1)
    await world.until_status(job_id, RUNNING)
    await world.lose(job_id)

    async def tick():
        await world.controller.run_once()
        return world.executor.workloads.get(job_id)

    workload = await until(tick, what="the second attempt")
    assert (workload.request.attempt, workload.request.package) == (2, None)
    await world.until_status(job_id, RUNNING)
    await world.lose(job_id)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.LOST
    assert LOST_LINE in world.log(job_id)
    await world.until_clean()


async def test_one_that_waits_can_be_cancelled(world):
    job_id = await world.submit(without_package=True)
    await world.submissions.request_cancel(job_id, world.clock())
    assert (await world.until_status(job_id, CANCELLED)).package is None
    await world.until_clean()
