"""How many jobs at once, whose, and what a controller takes over from another."""

import pytest

from ci_common.job import JobStatus, Outcome, Reason
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, JobQuery
from ci_common.ports.workloads import WorkloadState
from ci_controller.reconcile.controller import ReconcileSettings
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


async def test_never_more_jobs_than_slots(tmp_path, monkeypatch):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=2).open()
    transitions = world.controller._context.transitions
    claim, claims = transitions.claim, []

    def noted(job_id):
        claims.append(job_id)
        return claim(job_id)

    monkeypatch.setattr(transitions, "claim", noted)
    try:
        jobs = [await world.submit() for _ in range(6)]

        async def tick():
            await world.controller.run_once()
            workloads = list(world.executor.workloads.values())
            ended = [one for one in workloads if one.state is WorkloadState.EXITED]
            # Those that have ended are cleaned up, which needs no slot, but has a bound.
            assert len(workloads) - len(ended) <= 2
            assert len(workloads) <= 2 + ReconcileSettings(2.0, 2).max_collections
            for workload in workloads:
                workload.exit(0)
            return [
                job.status
                for job in await world.submissions.list_jobs(JobScope("local"), JobQuery())
            ]

        await until(tick, lambda statuses: statuses == [COMPLETED] * 6, "the end of all jobs")
        assert claims == jobs, "first come, first served, and once each"
        launches = [job_id for method, job_id in world.executor.calls if method == "launch"]
        assert sorted(launches) == sorted(jobs)
        await world.until_clean()
    finally:
        await world.close()


async def test_tenants_take_turns_at_a_single_slot(tmp_path):
    """An old queue does not keep the slot until it is empty."""
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=1).open()
    try:
        first = await world.submit("exit:0", tenant="a")
        second = await world.submit("exit:0", tenant="a")
        third = await world.submit("exit:0", tenant="a")
        other = await world.submit("exit:0", tenant="b")
        urgent = await world.submit("exit:0", tenant="a", priority=9)
        for job_id in (first, second, third, other, urgent):
            await world.until_status(job_id, COMPLETED)
        launches = [job_id for method, job_id in world.executor.calls if method == "launch"]
        assert launches == [urgent, other, first, second, third]
    finally:
        await world.close()


async def test_a_tenants_cap(tmp_path):
    world = await ControllerWorld(tmp_path, 4, max_jobs_per_tenant=1).open()
    try:
        first, second = [await world.submit(tenant="a") for _ in range(2)]
        other = await world.submit(tenant="b")
        await world.until_status(first, RUNNING)
        await world.until_status(other, RUNNING)
        await world.controller.run_once()
        assert (await world.row(second)).status is QUEUED
        world.executor.workloads[first].exit(0)
        await world.until_status(second, RUNNING)
    finally:
        await world.close()


async def test_a_second_controller_stands_by(world):
    await world.controller.run_once()
    second = world.new_controller()
    job_id = await world.submit("exit:0")
    for _ in range(3):
        await second.run_once()
    assert (await world.row(job_id)).status is QUEUED
    assert world.executor.calls.count(("list", "")) == 1
    await world.until_status(job_id, COMPLETED)


async def test_a_released_lease_is_taken_at_once(world):
    await world.controller.run_once()
    await world.controller.close()
    world.controller = world.new_controller()
    job_id = await world.submit("exit:0")
    await world.until_status(job_id, COMPLETED)


async def test_a_lost_lease_drops_the_runs_and_refuses_the_old_holder(world):
    old = world.controller
    job_id = await world.submit("out:one ")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one ")
    world.clock.advance(8.1)
    world.executor.several_processes = True
    new = world.new_controller()
    await new.run_once()
    # Both follow now. What both write must be in the log once.
    world.executor.workloads[job_id].write(b"two ")
    await world.until_log(job_id, b"one two ")
    assert not await old._context.transitions.claim(job_id)
    lie = Outcome(FAILED, Reason.INTERNAL, "from the grave")
    assert not await old._context.transitions.finish(job_id, Ending(lie, 0), world.clock())
    await old.run_once()
    assert old._runs == {}
    world.controller = new
    world.executor.workloads[job_id].write(b"three")
    world.executor.workloads[job_id].exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.log(job_id) == b"one two three"


async def test_an_adopted_job_keeps_its_whole_log_and_its_result(world):
    job_id = await world.submit("out:before the restart\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"before the restart\n")
    await world.controller.close()
    workload = world.executor.workloads[job_id]
    workload.write(b"while nobody looked\n")
    world.controller = world.new_controller()
    await world.controller.run_once()
    await world.until_log(job_id, b"before the restart\nwhile nobody looked\n")
    workload.write(b"after\n")
    workload.exit(7)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.exit_code == 7
    assert world.log(job_id) == b"before the restart\nwhile nobody looked\nafter\n"
    assert world.executor.count("launch", job_id) == 1
    await world.until_clean()


async def test_an_engine_that_ends_a_followed_log_with_the_workload_costs_no_byte(world):
    """It ends the connection in order, wherever it was: that is not the log's end."""
    job_id = await world.submit("out:before the restart\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"before the restart\n")
    await world.controller.close()
    workload = world.executor.workloads[job_id]
    workload.exit_cuts_followers = True
    world.controller = world.new_controller()
    await world.controller.run_once()
    await until(lambda: world.executor.count("reattach", job_id), what="a follower")
    with workload.condition:
        # At once, so that nothing of it is read before the end.
        workload.write(b"the last words\n")
        workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"before the restart\nthe last words\n"
    assert job.log_size == len(world.log(job_id))
    await world.until_clean()


async def test_a_job_that_ended_while_nobody_looked_is_adopted(world):
    job_id = await world.submit("out:one ")
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.executor.workloads[job_id].write(b"two")
    world.executor.workloads[job_id].exit(1)
    world.controller = world.new_controller()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.exit_code == 1
    assert world.log(job_id) == b"one two"


async def test_a_controller_closed_during_a_launch_leaves_the_job_to_the_next(world):
    world.executor.launch_gate.clear()
    job_id = await world.submit("out:hello", "exit:0")
    await world.until_status(job_id, INITIALIZING)
    await until(lambda: world.executor.launches_waiting, what="a launch under way")
    await world.controller.close()
    assert (await world.row(job_id)).status is INITIALIZING
    assert world.executor.workloads == {}
    world.executor.launch_gate.set()
    world.controller = world.new_controller()
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == b"hello"
