"""One look at a tenant's queue serves all its watchers."""

import asyncio

import pytest

from ci_server.streams.queue_places import QueuePlaces
from support.jobs import a_job

pytestmark = pytest.mark.anyio


class Queues:
    """Rows that count how often they are asked, and take their time."""

    def __init__(self):
        self.jobs = []
        self.asked = []
        self.now = 100.0
        self.seconds = 0.0

    def add(self, tenant="a"):
        self.jobs.append(a_job(tenant=tenant))
        return self.jobs[-1]

    async def queue_positions(self, tenant):
        self.asked.append(tenant)
        await asyncio.sleep(0)
        self.now += self.seconds
        own = [job.job_id for job in self.jobs if job.tenant == tenant]
        return {job_id: place for place, job_id in enumerate(own, 1)}


@pytest.fixture
def queues():
    return Queues()


@pytest.fixture
def places(queues):
    return QueuePlaces(queues, lambda: queues.now)


async def test_many_who_ask_at_once_share_a_look(queues, places):
    jobs = [queues.add() for _ in range(100)]
    got = await asyncio.gather(*(places.place(job) for job in jobs))
    assert got == list(range(1, 101))
    assert queues.asked == ["a"]


async def test_a_look_is_good_for_a_moment(queues, places):
    first, second = queues.add(), queues.add()
    assert await places.place(second) == 2
    queues.jobs.remove(first)
    queues.now += 0.19
    assert await places.place(second) == 2
    queues.now += 0.02
    assert await places.place(second) == 1
    assert await places.place(first) is None
    assert queues.asked == ["a", "a"]


async def test_tenants_do_not_count_each_other(queues, places):
    queues.add("b")
    mine, other = queues.add("a"), queues.add("b")
    assert (await places.place(mine), await places.place(other)) == (1, 2)
    assert sorted(queues.asked) == ["a", "b"]


async def test_a_queue_that_takes_long_to_read_is_read_less_often(queues, places):
    job = queues.add()
    queues.seconds = 0.5
    await places.place(job)
    queues.now += 9.9
    await places.place(job)
    assert len(queues.asked) == 1
    queues.now += 0.2
    await places.place(job)
    assert len(queues.asked) == 2


async def test_queues_that_nobody_asks_for_are_forgotten(queues, places):
    for number in range(50):
        await places.place(queues.add(f"tenant {number}"))
        queues.now += 1
    assert len(places._queues) <= 2


async def test_a_look_that_fails_is_taken_again(queues, places):
    job = queues.add()
    good = queues.queue_positions

    async def fail(tenant):
        raise OSError("disk")

    queues.queue_positions = fail
    with pytest.raises(OSError, match="disk"):
        await places.place(job)
    queues.queue_positions = good
    assert await places.place(job) == 1
