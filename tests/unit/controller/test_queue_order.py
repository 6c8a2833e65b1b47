"""The place in the queue that users are told, against the order in which jobs really start."""

import random

import pytest

from ci_common.job import JobStatus, utc_now
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

TENANTS = "abc"
PRIORITIES = (0, 4, 5, 5, 9, 10)


class Starts:
    """Watches claims, which begin a job, and compares each with what was told before it."""

    def __init__(self, world):
        self._world = world
        self._claim = world.controller._context.transitions.claim
        self.order = []
        world.controller._context.transitions.claim = self._checked_claim

    async def _checked_claim(self, job_id):
        job = await self._world.row(job_id)
        told = await self._world.submissions.queue_position(job)
        claimed = await self._claim(job_id)
        if claimed:
            assert told == 1, f"{job_id} was told place {told}, and starts"
            self.order.append(job)
        return claimed

    def of(self, tenant):
        return [job.job_id for job in self.order if job.tenant == tenant]


async def told_order(world, tenant):
    places = await world.submissions.queue_positions(tenant)
    assert sorted(places.values()) == list(range(1, len(places) + 1))
    for job_id, place in places.items():
        assert await world.submissions.queue_position(await world.row(job_id)) == place
    return sorted(places, key=places.get)


async def run_all(world):
    async def tick():
        await world.controller.run_once()
        for workload in list(world.executor.workloads.values()):
            workload.exit(0)
        return await world.controller._context.transitions.active()

    await until(tick, lambda live: not live, "the end of all jobs")


@pytest.mark.parametrize("seed", range(12))
async def test_a_tenants_jobs_start_in_the_order_they_were_told(tmp_path, seed):
    choose = random.Random(seed)
    slots, cap = choose.randint(1, 3), choose.choice([None, 1, 2])
    world = await ControllerWorld(tmp_path, slots, max_jobs_per_tenant=cap).open()
    try:
        queued = []
        for _ in range(choose.randint(10, 25)):
            tenant, priority = choose.choice(TENANTS), choose.choice(PRIORITIES)
            queued.append(await world.submit("exit:0", tenant=tenant, priority=priority))
        for job_id in choose.sample(queued, 3):
            await world.submissions.request_cancel(job_id, utc_now())
        told = {tenant: await told_order(world, tenant) for tenant in TENANTS}
        starts = Starts(world)
        await run_all(world)
        assert {tenant: starts.of(tenant) for tenant in TENANTS} == told
        assert sum(map(len, told.values())) == len(queued) - 3
    finally:
        await world.close()


@pytest.mark.parametrize("seed", range(6))
async def test_the_next_to_start_was_told_so_however_the_queue_changes(tmp_path, seed):
    """Jobs come, and are cancelled, while others start."""
    choose = random.Random(seed)
    world = await ControllerWorld(tmp_path, choose.randint(1, 3)).open()
    try:
        starts, queued, cancelled = Starts(world), [], []
        for _ in range(40):
            match choose.choice(["submit", "submit", "cancel", "tick"]):
                case "submit":
                    tenant, priority = choose.choice(TENANTS), choose.choice(PRIORITIES)
                    queued.append(await world.submit("exit:0", tenant=tenant, priority=priority))
                case "cancel":
                    waiting = [one for one in queued if await will_start(world, one)]
                    if waiting:
                        cancelled.append(choose.choice(waiting))
                        await world.submissions.request_cancel(cancelled[-1], utc_now())
                case "tick":
                    await world.controller.run_once()
                    for workload in list(world.executor.workloads.values()):
                        workload.exit(0)
        await run_all(world)
        started = [job.job_id for job in starts.order]
        assert sorted(started) == sorted(set(queued) - set(cancelled))
    finally:
        await world.close()


async def will_start(world, job_id):
    job = await world.row(job_id)
    return job.status is JobStatus.QUEUED and job.cancel_requested_at is None


async def test_a_job_that_will_not_start_has_no_place_and_keeps_nobody_waiting(tmp_path):
    world = await ControllerWorld(tmp_path).open()
    try:
        first, second = [await world.submit("exit:0") for _ in range(2)]
        assert await world.submissions.queue_position(await world.row(second)) == 2
        await world.submissions.request_cancel(first, utc_now())
        assert await world.submissions.queue_position(await world.row(first)) is None
        assert await world.submissions.queue_position(await world.row(second)) == 1
        await world.until_status(second, JobStatus.COMPLETED)
        assert await world.submissions.queue_position(await world.row(second)) is None
    finally:
        await world.close()
