"""Jobs whose workload was lost, and that asked to be tried again."""

import pytest

from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Reason
from support.controller_world import GRACE_SECONDS, LOST_LINE
from support.waiting import until

pytestmark = pytest.mark.anyio

INITIALIZING, RUNNING = JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED

MARKER = b"[attempt 2: the one before was lost]\n"


async def until_attempt(world, job_id, attempt, status=RUNNING):
    async def tick():
        await world.controller.run_once()
        return await world.row(job_id)

    return await until(
        tick, lambda job: (job.attempt, job.status) == (attempt, status), f"attempt {attempt}"
    )


async def until_launching(world):
    async def tick():
        await world.controller.run_once()
        return world.executor.launches_waiting

    await until(tick, what="a launch under way")


async def test_a_lost_job_is_started_again(world):
    job_id = await world.submit("out:hello ", retries=1)
    first = await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    await world.lose(job_id)
    second = await until_attempt(world, job_id, 2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.started_at == world.clock() > first.started_at, "the time-out begins again"
    workload = world.executor.workloads[job_id]
    assert workload.seen().attempt == 2
    workload.write(b"again")
    workload.exit(3)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.reason, job.outcome.exit_code, job.attempt) == (Reason.EXIT, 3, 2)
    assert world.log(job_id) == b"hello \n" + MARKER + b"hello again"
    assert job.log_size == len(world.log(job_id))
    assert world.executor.count("launch", job_id) == 2
    await world.until_clean()


async def test_retries_that_are_used_up(world):
    job_id = await world.submit("out:x", retries=2)
    for attempt in (1, 2, 3):
        await until_attempt(world, job_id, attempt)
        await until(lambda: world.log(job_id), lambda log: log.endswith(b"x"), "its output")
        await world.lose(job_id)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.attempt) == (Reason.LOST, 3)
    line = failure_line(job.outcome)
    third = MARKER.replace(b"2", b"3")
    assert world.log(job_id) == b"x\n" + MARKER + b"x\n" + third + b"x" + LOST_LINE + line
    assert world.executor.count("launch", job_id) == 3
    await world.until_clean()


@pytest.mark.parametrize(
    ("command", "env", "status", "reason"),
    [
        ("exit:1", {}, COMPLETED, Reason.EXIT),
        ("exit:0", {}, COMPLETED, Reason.EXIT),
        ("true", {"FAULT_LAUNCH": "SetupFailedError"}, FAILED, Reason.SETUP_FAILED),
        ("true", {"FAULT_LAUNCH": "LaunchFailedError"}, FAILED, Reason.LAUNCH_FAILED),
    ],
)
async def test_what_ended_by_itself_is_not_tried_again(world, command, env, status, reason):
    job_id = await world.submit(command, env=env, retries=3)
    job = await world.until_status(job_id, status)
    assert (job.outcome.reason, job.attempt) == (reason, 1)
    assert world.executor.count("launch", job_id) == 1
    await world.until_clean()


async def test_a_timeout_is_not_tried_again(world):
    job_id = await world.submit(retries=3, timeout=30.0)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(30)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.attempt) == (Reason.TIMEOUT, 1)


async def test_cancelled_between_the_attempts(world):
    job_id = await world.submit(retries=1)
    await world.until_status(job_id, RUNNING)
    await world.lose(job_id)
    world.executor.launch_gate.clear()
    await until_launching(world)
    assert ((await world.row(job_id)).attempt, (await world.row(job_id)).status) == (
        2,
        INITIALIZING,
    )
    await world.submissions.request_cancel(job_id, world.clock())
    job = await world.until_status(job_id, CANCELLED)
    assert (job.outcome.reason, job.attempt, job.started_at) == (Reason.CANCELLED, 2, None)
    await world.until_clean()


async def test_cancelled_while_it_is_missing(world):
    job_id = await world.submit(retries=1)
    await world.until_status(job_id, RUNNING)
    await world.lose(job_id)
    await world.submissions.request_cancel(job_id, world.clock())
    job = await world.until_status(job_id, CANCELLED)
    assert job.attempt == 1
    assert world.executor.count("launch", job_id) == 1


async def test_the_next_controller_begins_the_next_attempt(world):
    job_id = await world.submit("out:x", retries=1)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"x")
    await world.lose(job_id)
    world.executor.launch_gate.clear()
    await until_launching(world)
    assert ((await world.row(job_id)).attempt, (await world.row(job_id)).status) == (
        2,
        INITIALIZING,
    )
    await world.controller.close()
    world.executor.launch_gate.set()
    world.controller = world.new_controller()
    await until_attempt(world, job_id, 2)
    await world.until_log(job_id, b"x\n" + MARKER + b"x")


async def test_the_log_tells_of_an_attempt_once_however_often_its_launch_is_tried(world):
    job_id = await world.submit("out:x", retries=1)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"x")
    await world.lose(job_id)
    world.executor.down.add("launch")
    tried = world.executor.count("launch", job_id)

    async def tick():
        await world.controller.run_once()
        world.clock.advance(1)
        return world.executor.count("launch", job_id)

    await until(tick, lambda count: count >= tried + 3, "three tries")
    world.engine_returns()
    await until_attempt(world, job_id, 2)
    await world.until_log(job_id, b"x\n" + MARKER + b"x")


async def test_what_is_left_of_the_attempt_before_is_replaced(world):
    """It was not seen for so long that it was given up; it comes back before the next starts."""
    job_id = await world.submit("out:x", retries=1)
    await world.until_status(job_id, RUNNING)
    former = world.executor.workloads[job_id]
    await world.lose(job_id)
    world.executor.down.add("launch")
    await until_attempt(world, job_id, 2, INITIALIZING)
    world.executor.workloads[job_id] = former
    former.exit(0)
    world.engine_returns()
    await until_attempt(world, job_id, 2)
    assert world.executor.workloads[job_id] is not former


async def test_a_job_whose_only_workload_is_of_an_earlier_attempt_is_lost(world):
    """A controller that slept made it late. It must not keep the job running for ever."""
    job_id = await world.submit(retries=1)
    await world.until_status(job_id, RUNNING)
    former = world.executor.workloads[job_id]
    await world.lose(job_id)
    await until_attempt(world, job_id, 2)
    former.exit(0)
    own, world.executor.workloads[job_id] = world.executor.workloads[job_id], former
    own.drop()
    await until(lambda: world.controller._runs, lambda runs: not runs, "no run")
    assert (await world.row(job_id)).status is RUNNING, "that one's result is not this one's"
    await world.controller.run_once()
    world.clock.advance(GRACE_SECONDS)
    assert (await world.until_status(job_id, FAILED)).outcome.reason is Reason.LOST
    await world.until_clean()


@pytest.mark.parametrize("written", ["", "whole line\n", "half a line"])
async def test_the_log_tells_of_an_attempt_on_a_line_of_its_own(world, written):
    job_id = await world.submit(f"out:{written}", retries=1)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, written.encode())
    await world.lose(job_id)
    await until_attempt(world, job_id, 2)
    fresh = written.encode() + (b"\n" if written.startswith("half") else b"")
    await world.until_log(job_id, fresh + MARKER + written.encode())


async def test_the_reason_of_a_stop_is_not_that_of_the_next_attempt(world):
    """The workload vanished while it was being stopped for its time-out."""
    job_id = await world.submit("out:x", retries=1, timeout=100.0)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(101)
    hold = world.executor.hold("stop", job_id)
    await world.controller.run_once()
    world.executor.vanish(job_id)
    hold.release()
    stop = f"stop {job_id}"
    under_way = world.controller._background.under_way
    await until(under_way, lambda names: stop not in names, "the end of the stop")
    await world.controller.run_once()
    world.clock.advance(GRACE_SECONDS)
    await until_attempt(world, job_id, 2)
    world.executor.workloads[job_id].exit(0)
    ended = await world.until_status(job_id, COMPLETED)
    assert (ended.outcome.reason, ended.outcome.exit_code) == (Reason.EXIT, 0)
