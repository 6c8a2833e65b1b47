"""The controller over real stores and an executor that takes faults from the job."""

import asyncio

import pytest

from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Reason
from ci_common.ports.workloads import WorkloadState
from ci_controller.running.outcome import LOST_OUTPUT
from support.controller_world import GRACE_SECONDS, LOST_LINE, ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


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
    monkeypatch.setattr("ci_controller.running.job_run._SETTLE_SECONDS", 0.02)
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
    monkeypatch.setattr("ci_controller.running.job_run._SETTLE_SECONDS", -1.0)
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
    assert world.log(job_id) == b"hello" + LOST_LINE + failure_line(job.outcome)
    assert (job.log_size, job.log_dropped) == (len(world.log(job_id)), None)
    assert job.outcome.message.endswith(LOST_OUTPUT)
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


async def test_one_that_was_missing_in_an_earlier_lease_is_looked_for_anew(world):
    job_id = await world.submit()
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.controller = world.new_controller()
    hidden = dict(world.executor.workloads)
    world.executor.workloads.clear()
    await world.controller.run_once()
    world.executor.workloads.update(hidden)
    old = world.take_over()
    await world.controller.run_once()
    await old.run_once()
    await world.controller.close()
    world.controller = old
    world.executor.workloads.clear()
    await old.run_once()
    assert old._background.tasks("finish") == [], "it was seen meanwhile"
    world.executor.workloads.update(hidden)
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
    assert world.controller._leadership.epoch is not None


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
    monkeypatch.setattr("ci_controller.housekeeping.housekeeping._STALE_SECONDS", 0.0)
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
    for job_id in (live, done, "no-such-job"):
        batch = world.artifacts.begin(job_id)
        batch.add("a", iter([b"x"]))
        batch.commit()
    world.executor.down.add("launch")
    await world.controller.run_once()
    await until(lambda: world.executor.count("tidy"), what="housekeeping")
    assert world.packages.job_ids(0) == [live]
    assert world.artifacts.job_ids(0) == [live]
    assert not abandoned.path.exists()


async def test_housekeeping_goes_on_after_a_round_that_broke(world, monkeypatch, caplog):
    monkeypatch.setattr("ci_controller.housekeeping.housekeeping._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("ci_controller.housekeeping.housekeeping._ORPHAN_ROUNDS", 1)
    rounds = []

    def refuse(seconds):
        rounds.append(seconds)
        raise PermissionError("Permission denied")

    monkeypatch.setattr(world.artifacts, "job_ids", refuse)
    await world.controller.run_once()
    await until(lambda: rounds, lambda seen: len(seen) > 1, "a second round")
    assert "retrying in the next round" in caplog.text
