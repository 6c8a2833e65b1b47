"""The controller over real stores and an executor that takes faults from the job."""

import asyncio
import errno

import pytest

from ci_common.job import JobStatus, Outcome, Reason, ResourceLimits
from ci_common.ports import Ending, WorkloadState
from support.controller_world import GRACE_SECONDS, ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@pytest.fixture
async def world(tmp_path):
    world = await ControllerWorld(tmp_path).open()
    yield world
    await world.close()
    assert world.executor.violations == []


async def test_a_job_runs_to_its_end(world):
    job_id = await world.submit("out:hello\n", "out:world\n", "exit:3")
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.EXIT, 3)
    assert not job.outcome.success
    assert job.started_at == job.ended_at == world.clock.time
    assert world.log(job_id) == b"hello\nworld\n"
    assert job.log_size == 12
    await world.until_clean()
    assert world.executor.count("launch", job_id) == 1


async def test_the_log_is_stored_while_the_job_runs(world):
    job_id = await world.submit("out:first\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"first\n")
    world.executor.workloads[job_id].write(b"second\n")
    await world.until_log(job_id, b"first\nsecond\n")


async def test_out_of_memory(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    world.executor.workloads[job_id].exit(137, oom_killed=True)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.reason, job.outcome.success) == (Reason.OOM, False)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("SetupFailedError", Reason.SETUP_FAILED),
        ("PackageCorruptError", Reason.PACKAGE_CORRUPT),
        ("ImageUnavailableError", Reason.IMAGE_UNAVAILABLE),
        ("LaunchFailedError", Reason.LAUNCH_FAILED),
        ("JobError", Reason.INTERNAL),
        ("defect", Reason.INTERNAL),
    ],
)
async def test_a_failing_launch_fails_the_job(world, fault, reason):
    job_id = await world.submit("exit:0", env={"FAULT_LAUNCH": fault})
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is reason
    assert job.outcome.message
    assert "defect of the executor" not in job.outcome.message
    await world.until_clean()


async def test_a_defect_frees_the_slot(tmp_path):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=1).open()
    try:
        broken = await world.submit(env={"FAULT_LAUNCH": "defect"})
        good = await world.submit("exit:0")
        assert (await world.until_status(good, COMPLETED)).outcome.success
        assert (await world.row(broken)).status is FAILED
        await world.until_clean()
    finally:
        await world.close()


async def test_a_damaged_package_fails_the_job(world):
    job_id = await world.submit("exit:0")
    (path,) = (path for path in world.packages._packages.iterdir())
    path.write_bytes(b"other content")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.PACKAGE_CORRUPT
    assert world.executor.count("launch", job_id) == 0
    await world.until_clean()


@pytest.mark.parametrize("method", ["all", "list", "launch", "inspect"])
async def test_without_the_engine_jobs_wait(world, method):
    world.executor.down.add(method)
    job_id = await world.submit("out:hello", "exit:0")
    for _ in range(10):
        await world.controller.run_once()
        await asyncio.sleep(0.01)
    assert not (await world.row(job_id)).status.is_terminal
    world.engine_returns()
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == b"hello"
    await world.until_clean()


async def test_the_engine_goes_away_while_a_job_runs(world):
    job_id = await world.submit("out:before ")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"before ")
    world.executor.down.add("all")
    world.executor.workloads[job_id].drop()
    for _ in range(5):
        world.clock.advance(GRACE_SECONDS)
        await world.controller.run_once()
        await asyncio.sleep(0.01)
    state = await world.submissions.controller_state()
    assert "does not answer" in state.engine_error
    world.executor.workloads[job_id].write(b"meanwhile ")
    world.engine_returns()
    await world.controller.run_once()
    await world.until_log(job_id, b"before meanwhile ")
    world.executor.workloads[job_id].exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert (await world.submissions.controller_state()).engine_error is None


async def test_a_dropped_connection_loses_and_repeats_nothing(world, monkeypatch):
    monkeypatch.setattr("ci_controller.job_run._SETTLE_SECONDS", 0.02)
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    stored = b""
    for number in range(5):
        stored += b"line %d, longer than a piece\n" % number
        workload.write(b"line %d, longer than a piece\n" % number)
        if number % 2:
            await world.until_log(job_id, stored)
        seen = world.executor.count("reattach", job_id)
        workload.drop()
        await until(
            lambda seen=seen: world.executor.count("reattach", job_id),
            lambda count, seen=seen: count > seen,
            "reattach",
        )
    await world.until_log(job_id, stored)
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == stored
    assert job.log_size == len(stored)


async def test_a_thousand_drops_do_not_break_the_run(world, monkeypatch):
    monkeypatch.setattr("ci_controller.job_run._SETTLE_SECONDS", -1.0)
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    for number in range(1200):
        seen = world.executor.count("reattach", job_id)
        workload.drop()
        while world.executor.count("reattach", job_id) == seen:
            await asyncio.sleep(0)
            assert (await world.row(job_id)).status is RUNNING, f"after {number} drops"
    workload.exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success


async def test_setup_output_comes_before_the_workloads_own(world):
    """The workload's output begins in the log where its launch found the end."""
    job_id = await world.submit("out:own ")
    log = world.logs.open(job_id, 1)
    log.append(b"installing... ")
    log.close()
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"installing... own ")
    await world.controller.close()
    world.controller = world.new_controller()
    world.executor.workloads[job_id].write(b"more")
    world.executor.workloads[job_id].exit(0)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"installing... own more"


async def test_a_log_that_lost_its_end_to_a_power_cut_is_completed(world):
    """Not even the set-up's output survived: the workload's own is stored whole all the same."""
    job_id = await world.submit("out:own output")
    log = world.logs.open(job_id, 1)
    log.append(b"installing a lot of things")
    log.close()
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"installing a lot of thingsown output")
    await world.controller.close()
    (path,) = (world.data_path / "logs").rglob("*.log")
    path.write_bytes(b"installing")
    world.controller = world.new_controller()
    world.executor.workloads[job_id].exit(0)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"installingown output"


async def test_a_lost_workload_fails_the_job_after_a_grace(world):
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.controller = world.new_controller()
    world.executor.workloads.clear()
    for _ in range(3):
        await world.controller.run_once()
        assert (await world.row(job_id)).status is RUNNING
    world.clock.advance(GRACE_SECONDS - 0.1)
    await world.controller.run_once()
    assert (await world.row(job_id)).status is RUNNING
    world.clock.advance(0.1)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.LOST
    assert job.log_size == len(world.log(job_id)) == 5
    await world.until_clean()


async def test_a_workload_that_comes_back_is_not_lost(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.controller = world.new_controller()
    hidden = dict(world.executor.workloads)
    for _ in range(3):
        world.executor.workloads.clear()
        await world.controller.run_once()
        world.clock.advance(GRACE_SECONDS - 1)
        world.executor.workloads.update(hidden)
        await world.controller.run_once()
    world.executor.workloads[job_id].exit(0)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success


async def test_a_workload_that_was_never_started_is_lost_too(world):
    """A running row whose workload is only created must not stay for ever."""
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.controller = world.new_controller()
    world.executor.workloads[job_id].state = WorkloadState.CREATED
    await world.controller.run_once()
    world.clock.advance(GRACE_SECONDS)
    assert (await world.until_status(job_id, FAILED)).outcome.reason is Reason.LOST
    await world.until_clean()


async def test_a_stray_workload_is_removed(world):
    job_id = await world.submit("exit:0")
    await world.until_status(job_id, COMPLETED)
    stray = await world.submit()
    await world.until_status(stray, RUNNING)
    await world.database.write("DELETE FROM jobs WHERE job_id = ?", (stray,))
    world.executor.workloads[stray].exit(0)
    await until(lambda: len(world.controller._runs), lambda runs: runs == 0, "the end of the run")
    await world.controller.run_once()
    await until(lambda: world.executor.workloads, lambda left: not left, "no workload")


# ------------------------------------------------------------------ cancel, time-out


async def cancel(world, job_id):
    await world.submissions.request_cancel(job_id, world.clock())


async def test_cancel_while_queued(tmp_path):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=1).open()
    try:
        running = await world.submit()
        queued = await world.submit()
        await world.until_status(running, RUNNING)
        await cancel(world, queued)
        job = await world.until_status(queued, CANCELLED)
        assert (job.outcome.reason, job.log_size) == (Reason.CANCELLED, 0)
        assert world.executor.count("launch", queued) == 0
        # Recorded first, then cleaned up.
        await until(lambda: world.packages.job_ids(0), lambda left: left == [running], "its zip")
    finally:
        await world.close()


async def test_cancel_while_queued_without_the_engine(world):
    world.executor.down.add("all")
    job_id = await world.submit()
    await cancel(world, job_id)
    assert (await world.until_status(job_id, CANCELLED)).outcome.reason is Reason.CANCELLED


async def test_cancel_while_initializing(world):
    world.executor.launch_gate.clear()
    job_id = await world.submit()
    await world.until_status(job_id, INITIALIZING)
    await until(lambda: world.executor.launches_waiting, what="a launch under way")
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert job.started_at is None
    await world.until_clean()


@pytest.mark.parametrize("point", ["launch", "made"])
async def test_cancel_in_the_middle_of_a_launch(world, point):
    """Before there is a container, and when there is one that was not started."""
    job_id = await world.submit("out:hello", "exit:0")
    hold = world.executor.hold(point, job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert (job.started_at, job.log_size) == (None, 0)
    await world.until_clean()


async def test_cancel_while_its_artifacts_are_collected_comes_too_late(world):
    job_id = await world.submit("file:output/a=content", "exit:0")
    hold = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    world.clock.advance(1)
    await cancel(world, job_id)
    await world.controller.run_once()
    hold.release()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert world.executor.count("stop", job_id) == 0
    await world.until_clean()


async def test_cancel_before_the_first_tick_never_starts(world):
    job_id = await world.submit()
    await cancel(world, job_id)
    await world.until_status(job_id, CANCELLED)
    assert world.executor.count("launch", job_id) == 0
    await world.until_clean()


async def test_a_job_that_ended_while_a_tick_was_under_way_is_not_started_again(world, monkeypatch):
    """The rows were read before its end was recorded, and its run was over when they were used."""
    job_id = await world.submit("exit:0")
    hold = world.executor.hold("launch", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    transitions = world.controller._tools.transitions
    rows = await transitions.active()
    assert [job.status for job in rows] == [INITIALIZING]
    hold.release()
    await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the run")
    assert (await world.row(job_id)).status is COMPLETED
    monkeypatch.setattr(transitions, "active", lambda: _returned(rows))
    await world.controller.run_once()
    monkeypatch.undo()
    await world.until_clean()
    assert world.executor.count("launch", job_id) == 1


async def _returned(value):
    return value


@pytest.mark.parametrize("env", [{}, {"FAULT_STUBBORN": "1"}])
async def test_cancel_while_running(world, env):
    limits = ResourceLimits(grace_seconds=0.05)
    job_id = await world.submit("out:hello", env=env, limits=limits)
    await world.until_status(job_id, RUNNING)
    await cancel(world, job_id)
    job = await world.until_status(job_id, CANCELLED)
    assert job.outcome.exit_code == (137 if env else 143)
    assert world.log(job_id) == b"hello"
    assert world.executor.count("stop", job_id) >= 1  # again by a tick that sees it end
    await world.until_clean()


async def test_cancel_after_the_end_changes_nothing(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    world.executor.workloads[job_id].exit(0)
    world.clock.advance(1)
    await cancel(world, job_id)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert job.cancel_requested_at is not None


async def test_timeout(world):
    job_id = await world.submit(timeout=30.0)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(29.9)
    await world.controller.run_once()
    assert (await world.row(job_id)).status is RUNNING
    world.clock.advance(0.1)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.TIMEOUT, 143)
    await world.until_clean()


async def test_the_next_deadline_shortens_the_wait_and_a_past_one_does_not(world):
    job_id = await world.submit(timeout=30.0, env={"FAULT_STUBBORN": "1"})
    waits = []
    world.controller._bell.wait = lambda seconds: _noted(waits, seconds)
    await world.until_status(job_id, RUNNING)
    world.clock.advance(29.5)
    await world.controller.run_once()
    await world.controller._wait()
    world.executor.down.add("stop")
    world.clock.advance(10)
    await world.controller.run_once()
    await world.controller._wait()
    assert waits == [0.5, 2.0]


async def _noted(waits, seconds):
    waits.append(seconds)


# ------------------------------------------------------------------ concurrency, the lease


async def test_never_more_jobs_than_slots(tmp_path, monkeypatch):
    world = await ControllerWorld(tmp_path, max_concurrent_jobs=2).open()
    transitions = world.controller._tools.transitions
    claim, claims = transitions.claim, []

    def noted(job_id):
        claims.append(job_id)
        return claim(job_id)

    monkeypatch.setattr(transitions, "claim", noted)
    try:
        jobs = [await world.submit() for _ in range(6)]

        async def tick():
            await world.controller.run_once()
            assert len(world.executor.workloads) <= 2
            for workload in list(world.executor.workloads.values()):
                workload.exit(0)
            return [job.status for job in await world.submissions.list_jobs("local", None, 9, None)]

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
    assert not await old._tools.transitions.claim(job_id)
    lie = Outcome(FAILED, Reason.INTERNAL, "from the grave")
    assert not await old._tools.transitions.finish(job_id, Ending(lie, 0), world.clock())
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


# ------------------------------------------------------------------ the disk


class FullDisk:
    """A log store whose files take only so many bytes."""

    def __init__(self, logs, most):
        self._logs, self._most = logs, most

    def open(self, job_id, epoch):
        return _FullAppender(self._logs.open(job_id, epoch), self._most)


class _FullAppender:
    def __init__(self, appender, most):
        self._appender, self._most = appender, most
        self.sync, self.close = appender.sync, appender.close

    @property
    def size(self):
        return self._appender.size

    def append(self, content):
        room = self._most - self.size
        self._appender.append(content[:room])
        if len(content) > room:
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_fails_the_job_and_keeps_what_was_stored(world):
    await world.controller.close()
    world.controller = world.new_controller(FullDisk(world.logs, 10))
    job_id = await world.submit("out:0123456789abcdef")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.DISK_FULL
    assert world.log(job_id) == b"0123456789"
    assert job.log_size == 10
    await world.until_clean()


async def test_another_error_of_the_log_is_a_defect(world):
    await world.controller.close()

    class Broken(FullDisk):
        def open(self, job_id, epoch):
            appender = super().open(job_id, epoch)

            def append(content):
                raise OSError(errno.EIO, "Input/output error")

            appender.append = append
            return appender

    world.controller = world.new_controller(Broken(world.logs, 10))
    job_id = await world.submit("out:hello")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.INTERNAL
    await world.until_clean()


# ------------------------------------------------------------------ the loop, housekeeping


async def test_run_reconciles_when_rung_and_lets_go_when_cancelled(world):
    task = asyncio.create_task(world.controller.run())
    await until(lambda: world.executor.count("list"), what="the first tick")
    job_id = await world.submit("exit:0")
    ring = world.new_controller()._bell
    ring.ring()
    await until(
        lambda: world.row(job_id), lambda job: job.status is COMPLETED, "the job's end", seconds=1.5
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.controller = world.new_controller()
    await world.controller.run_once()
    assert world.controller._epoch is not None


async def test_a_tick_that_breaks_is_followed_by_another(world, monkeypatch):
    real, broken = world.executor.list_workloads, []

    async def breaks_once():
        if not broken:
            broken.append(True)
            raise ZeroDivisionError
        return await real()

    monkeypatch.setattr(world.executor, "list_workloads", breaks_once)
    task = asyncio.create_task(world.controller.run())
    job_id = await world.submit("exit:0")
    await until(lambda: broken, what="the broken tick")
    world.controller._bell.ring()
    await until(lambda: world.row(job_id), lambda job: job.status is COMPLETED, "the job's end")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_housekeeping_removes_what_crashes_left(world, monkeypatch):
    monkeypatch.setattr("ci_controller.housekeeping._STALE_SECONDS", 0.0)
    live = await world.submit()
    done = await world.submit()
    await world.database.write(
        "UPDATE jobs SET status='completed', reason='exit', message='', exit_code=0, log_size=0 "
        "WHERE job_id=?",
        (done,),
    )
    world.packages.stage().commit("no-such-job")
    abandoned = world.packages.stage()
    abandoned.write(b"x")
    abandoned._file.close()
    world.executor.down.add("launch")
    await world.controller.run_once()
    await until(lambda: world.executor.count("tidy"), what="housekeeping")
    assert world.packages.job_ids(0) == [live]
    assert not abandoned.path.exists()
