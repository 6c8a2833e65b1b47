"""A limit that the executor cannot enforce is told at the start of the job's log, once."""

import pytest

from ci_common.job import JobStatus, ResourceLimits
from ci_common.ports.unenforced_limits import Limit, Unenforced
from support.controller_world import ENGINE_RETRY_SECONDS
from support.waiting import until

pytestmark = pytest.mark.anyio

COMPLETED, FAILED, RUNNING = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.RUNNING
WORK = Unenforced(Limit.WORK, "the engine's storage (overlay2 on extfs) cannot")
MEMORY = Unenforced(Limit.MEMORY, "no cgroup")
TOLD = b"ci: CI_MAX_WORK_MB is not enforced: the engine's storage (overlay2 on extfs) cannot\n"


async def test_it_is_the_first_line(world):
    world.executor.unenforced = [WORK, MEMORY]
    world.executor.setup_output = b"installing\n"
    job_id = await world.submit("out:hello", "exit:0")
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == TOLD + b"installing\nhello"


async def test_a_limit_is_told_to_jobs_that_have_it(world):
    world.executor.unenforced = [MEMORY]
    plain = await world.submit("out:hello", "exit:0")
    limited = await world.submit("out:hello", "exit:0", limits=ResourceLimits(memory_mb=64))
    for job_id in (plain, limited):
        await world.until_status(job_id, COMPLETED)
    assert world.log(plain) == b"hello"
    assert world.log(limited) == b"ci: memory is not enforced: no cgroup\nhello"


async def test_it_is_told_once_however_often_the_launch_is_tried(world):
    world.executor.unenforced = [WORK]
    world.executor.failing.add("launch")
    job_id = await world.submit("out:hello", "exit:0")
    for _ in range(3):
        await world.controller.run_once()
        await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the runs")
        world.clock.advance(ENGINE_RETRY_SECONDS)
    await world.controller.close()
    world.controller = world.new_controller()
    world.executor.failing.clear()
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == TOLD + b"hello"


async def test_the_next_attempt_and_the_next_controller_do_not_tell_it_again(world):
    world.executor.unenforced = [WORK]
    job_id = await world.submit("out:hello\n", retries=1)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, TOLD + b"hello\n")
    await world.lose(job_id)
    await world.until_status(job_id, JobStatus.INITIALIZING)
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.controller = world.new_controller()
    world.executor.workloads[job_id].exit(0)
    await world.until_status(job_id, COMPLETED)
    lost = b"[attempt 2: the one before was lost]\n"
    assert world.log(job_id) == TOLD + b"hello\n" + lost + b"hello\n"


async def test_a_job_that_cannot_be_started_says_both(world):
    world.executor.unenforced = [WORK]
    job_id = await world.submit(env={"FAULT_LAUNCH": "ImageUnavailableError"})
    await world.until_status(job_id, FAILED)
    first, last = world.log(job_id).splitlines(keepends=True)
    assert first == TOLD
    assert last.startswith(b"ci: the job failed: image_unavailable: ")


async def test_an_engine_that_does_not_tell_now_is_asked_again(world):
    world.executor.unenforced = [WORK]
    world.executor.down.add("check")
    job_id = await world.submit("out:hello", "exit:0")
    await world.controller.run_once()
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the runs")
    assert not (await world.row(job_id)).status.is_terminal
    world.engine_returns()
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == TOLD + b"hello"
