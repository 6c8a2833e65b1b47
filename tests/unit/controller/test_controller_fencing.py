"""A controller that was paused past its lease, in the middle of anything, touches nothing of its
successor's work when it goes on.

A pause is made of two things: nobody ticks the controller, and what it has under way is held at
a point of the executor.
"""

import asyncio

import pytest

from ci_common.errors import LeaseLostError
from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Outcome, Reason
from ci_common.ports.rows import Ending
from ci_controller.running.launch_request import launch_request
from support.controller_world import GRACE_SECONDS, LOST_LINE
from support.fake_executor import FakeWorkload
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED = JobStatus.COMPLETED, JobStatus.FAILED


async def go_on(old, *holds):
    """The paused controller goes on, until nothing is under way any more."""
    for hold in holds:
        hold.release()
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    for _ in range(3):
        await old.run_once()
    assert old._leadership.epoch is None
    assert (old._runs, old._background.tasks()) == ({}, [])


@pytest.mark.parametrize("point", ["launch", "made"])
async def test_paused_in_a_launch(world, point):
    """Before it made the workload, and before it started the one it had made."""
    job_id = await world.submit("out:hello ")
    hold = world.executor.hold(point, job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    old = world.take_over()
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    row, workload = await world.row(job_id), world.executor.workloads[job_id]
    assert workload.epoch == 2
    await go_on(old, hold)
    assert await world.row(job_id) == row
    assert world.executor.workloads[job_id] is workload
    assert world.log(job_id) == b"hello "
    workload.write(b"world")
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.log(job_id) == b"hello world"
    assert job.log_size == 11
    await world.until_clean()


async def test_paused_in_a_launch_until_the_job_is_over(world):
    """Its workload would be a second run of a job that has its result."""
    job_id = await world.submit("out:hello", "exit:0")
    hold = world.executor.hold("launch", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    old = world.take_over()
    job = await world.until_status(job_id, COMPLETED)
    await world.until_clean()
    hold.release()
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    await world.until_clean()
    assert await world.row(job_id) == job
    assert world.log(job_id) == b"hello"


async def test_paused_while_it_copies_the_log(world):
    """Both read the workload's output and write it down: it is in the log once."""
    job_id = await world.submit("out:one ")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one ")
    old = world.take_over()
    await world.controller.run_once()
    workload = world.executor.workloads[job_id]
    await until(lambda: len(world.executor.open_outputs(job_id)), lambda n: n == 2, "two readers")
    expected = b"one "
    for number in range(20):
        workload.write(b"line %d\n" % number)
        expected += b"line %d\n" % number
    await world.until_log(job_id, expected)
    workload.exit(4)
    job = await world.until_status(job_id, COMPLETED)
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    assert job.outcome.exit_code == 4
    assert world.log(job_id) == expected
    assert job.log_size == len(expected)
    await go_on(old)
    assert await world.row(job_id) == job
    await world.until_clean()


@pytest.mark.parametrize("point", ["inspect", "files", "remove"])
async def test_paused_at_the_end_of_a_job(world, point):
    """Before it looked how the job ended, while it collected, and after it recorded the end."""
    job_id = await world.submit("out:hello ", "file:output/a=content")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    hold = world.executor.hold(point, job_id)
    world.executor.workloads[job_id].exit(3)
    await hold.reached.wait()
    old = world.take_over()
    job = await world.until_status(job_id, COMPLETED)
    await world.until_clean()
    await go_on(old, hold)
    assert await world.row(job_id) == job
    assert (job.outcome.reason, job.outcome.exit_code, job.log_size) == (Reason.EXIT, 3, 6)
    assert world.log(job_id) == b"hello "
    await assert_content(world, job_id, b"content")
    await world.until_clean()


async def test_both_collect_at_once(world):
    """The old one goes on while the new one is in the midst of it."""
    job_id = await world.submit("out:hello ", "file:output/a=content")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    held_old = world.executor.hold("files", job_id)
    world.executor.workloads[job_id].exit(0)
    await held_old.reached.wait()
    old = world.take_over()
    held_new = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await held_new.reached.wait()
    held_old.release()
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    assert (await world.row(job_id)).status is RUNNING, "the old one recorded nothing"
    held_new.release()
    job = await world.until_status(job_id, COMPLETED)
    assert job.artifacts_size == 7
    await assert_content(world, job_id, b"content")
    await go_on(old)
    await world.until_clean()


async def assert_content(world, job_id, content):
    (artifact,) = await world.submissions.artifacts(job_id)
    with world.artifacts.open(job_id, artifact) as file:
        assert file.read() == content


async def test_paused_in_the_middle_of_a_tick(world):
    """What it saw of both worlds is old when it goes on."""
    job_id = await world.submit("out:hello ")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    old = world.controller
    other = await world.submit("out:other ")
    hold = world.executor.hold("list", "")
    ticking = asyncio.create_task(old.run_once())
    await hold.reached.wait()
    world.take_over()
    await world.until_status(other, RUNNING)
    await world.until_log(other, b"other ")
    workloads = dict(world.executor.workloads)
    hold.release()
    await ticking
    await go_on_dropping(old)
    assert world.executor.workloads == workloads
    for one in (job_id, other):
        world.executor.workloads[one].exit(0)
        assert (await world.until_status(one, COMPLETED)).outcome.success
    assert (world.log(job_id), world.log(other)) == (b"hello ", b"other ")
    await world.until_clean()


async def go_on_dropping(old):
    """Its next tick finds out, and drops what it follows."""
    await old.run_once()
    assert old._leadership.epoch is None
    assert (old._runs, old._background.tasks()) == ({}, [])


async def test_no_move_of_the_old_controller_is_made(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    queued = await world.submit()
    moves = world.controller._context.transitions
    world.take_over()
    assert await world.controller._lead() == 2
    rows = [await world.row(job_id), await world.row(queued)]
    lie = Ending(Outcome(FAILED, Reason.INTERNAL, "from the grave"), 0)
    assert not await moves.claim(queued)
    assert not await moves.mark_running(job_id, world.clock())
    assert not await moves.retry(job_id, 1)
    assert not await moves.finish(job_id, lie, world.clock())
    assert [await world.row(job_id), await world.row(queued)] == rows


async def test_a_log_that_the_new_controller_opened_cannot_be_opened_by_the_old(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    world.take_over()
    await world.controller.run_once()
    await until(lambda: len(world.executor.open_outputs(job_id)), lambda n: n == 2, "two readers")
    with pytest.raises(LeaseLostError):
        world.logs.open(job_id, 1)


async def test_a_lease_that_was_lost_and_is_free_again_is_taken_without_the_old_work(world):
    """Between two looks at it another had it, and moved things on."""
    job_id = await world.submit("out:one ")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one ")
    old = world.take_over()
    await world.controller.run_once()
    workload = world.executor.workloads[job_id]
    await until(lambda: len(world.executor.open_outputs(job_id)), lambda n: n == 2, "two readers")
    workload.write(b"two ")
    await world.until_log(job_id, b"one two ")
    await world.controller.close()
    await old.run_once()
    assert old._leadership.epoch is None
    assert old._runs == {}, "first it lets go of what it had under way"
    world.controller = old
    await old.run_once()
    assert old._leadership.epoch == 3
    workload.write(b"three")
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.log(job_id) == b"one two three"
    await world.until_clean()


# ------------------------------------------------------------------ late workloads


def late_workload(world, job_id, row, log_base, epoch=1):
    """What an old controller's launch makes when it comes through at last."""
    request = launch_request(row, epoch, (), None)
    workload = FakeWorkload(request, log_base, world.clock)
    world.executor.workloads[job_id] = workload
    workload.start()
    return workload


async def launching_after_take_over(world, *command, setup, **options):
    """A job that a second controller has claimed and installs for; its launch fails for now."""
    job_id = await world.submit(*command, **options)
    world.executor.down.add("launch")
    world.executor.setup_output = b"installing\n" if setup else b""
    await world.until_status(job_id, INITIALIZING)
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of its runs")
    world.take_over()
    await world.controller.run_once()
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of its runs")
    return job_id, await world.row(job_id)


async def test_a_late_workload_whose_output_would_not_fit_the_log_is_replaced(world):
    """Its log base is the size of the log as the old controller knew it."""
    job_id, row = await launching_after_take_over(world, "out:hello ", setup=True)
    before = world.log(job_id)
    assert before == b"installing\n" * 2
    late = late_workload(world, job_id, row, len(b"installing\n"))
    world.engine_returns()
    world.executor.setup_output = b""
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    assert workload is not late
    assert workload.epoch == 2
    workload.exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == before + b"hello "
    await world.until_clean()


async def test_a_late_workload_whose_output_fits_is_adopted(world):
    """Nothing was written since: it does not matter who started it."""
    job_id, row = await launching_after_take_over(world, "out:hello", setup=False)
    late = late_workload(world, job_id, row, 0)
    world.engine_returns()
    launches = world.executor.count("launch", job_id)
    await world.until_status(job_id, RUNNING)
    assert world.executor.workloads[job_id] is late
    late.exit(4)
    assert (await world.until_status(job_id, COMPLETED)).outcome.exit_code == 4
    assert world.log(job_id) == b"hello"
    assert world.executor.count("launch", job_id) == launches
    await world.until_clean()


async def test_what_is_started_between_two_controllers_is_copied_by_the_next(world):
    """The lease went while the workload was made, and nobody has looked since."""
    job_id = await world.submit("out:hello ")
    hold = world.executor.hold("made", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    old = world.take_over()
    await world.controller._lead()
    hold.release()
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    assert world.log(job_id) == b""
    workload = world.executor.workloads[job_id]
    await world.until_status(job_id, RUNNING)
    assert world.executor.workloads[job_id] is workload
    workload.exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == b"hello "
    assert world.executor.count("launch", job_id) == 1
    await world.until_clean()


@pytest.mark.parametrize("retries", [0, 1])
async def test_a_late_workload_does_not_stand_in_for_one_that_was_lost(world, retries):
    job_id, _ = await launching_after_take_over(world, "out:hello ", setup=False, retries=retries)
    world.engine_returns()
    row = await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    world.executor.vanish(job_id)
    late = late_workload(world, job_id, row, 0)
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of its runs")
    await world.controller.run_once()
    world.clock.advance(GRACE_SECONDS)
    if retries:
        await until_attempt(world, job_id, 2)
        workload = world.executor.workloads[job_id]
        assert workload is not late
        workload.exit(0)
        await world.until_status(job_id, COMPLETED)
        told = b"hello \n[attempt 2: the one before was lost]\nhello "
        assert world.log(job_id) == told
    else:
        job = await world.until_status(job_id, FAILED)
        assert job.outcome.reason is Reason.LOST
        assert world.log(job_id) == b"hello " + LOST_LINE + failure_line(job.outcome)
    await world.until_clean()


async def until_attempt(world, job_id, attempt):
    async def tick():
        await world.controller.run_once()
        return await world.row(job_id)

    await until(tick, lambda job: (job.attempt, job.status) == (attempt, RUNNING), "the attempt")
