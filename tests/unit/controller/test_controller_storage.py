"""The data directory, or the database, goes away under a controller, and comes back."""

import logging
import shutil
from contextlib import suppress

import pytest

from ci_common.errors import DatabaseUnavailableError, DataDirectoryUnavailableError
from ci_common.job import JobStatus, Reason
from ci_common.secret import Secret
from ci_controller.reconcile.leadership import LEASE_SECONDS
from ci_persistence.database import write_lock
from ci_persistence.sqlite.data_claim import adopt
from support.controller_world import ControllerWorld
from support.waiting import until

pytestmark = pytest.mark.anyio

QUEUED, INITIALIZING, RUNNING = JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED


@pytest.fixture
async def world(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    world = await ControllerWorld(tmp_path).open()
    world.away = tmp_path / "away"
    yield world
    await world.close()
    assert world.executor.violations == []
    tracebacks = [record.getMessage() for record in caplog.records if record.exc_info]
    assert tracebacks == []


def move_away(world):
    world.data_path.rename(world.away)


def unmount(world):
    """What is left is an empty mount point."""
    move_away(world)
    world.data_path.mkdir()


def delete(world):
    """There is a copy, which an operator brings back."""
    shutil.copytree(world.data_path, world.away, ignore=shutil.ignore_patterns("*.sock"))
    shutil.rmtree(world.data_path)


LOSSES = pytest.mark.parametrize("lose", [move_away, unmount, delete])


def bring_back(world):
    if world.data_path.exists():
        assert list(world.data_path.iterdir()) == [], "nothing is made in a strange directory"
        world.data_path.rmdir()
    world.away.rename(world.data_path)


async def ticks(world, count=4, seconds=2.0):
    for _ in range(count):
        world.clock.advance(seconds)
        await world.controller.run_once()


@pytest.mark.parametrize("hold_at", ["launch", "files"])
async def test_a_job_waits_while_another_process_keeps_writing(world, hold_at, monkeypatch):
    """A worker that is stopped while it writes: its lock is not given back for a long time."""
    monkeypatch.setattr(write_lock, "WAIT_SECONDS", 0.05)
    other = write_lock.WriteLock(world.database.path)
    job_id = await world.submit("out:hello", "exit:3")
    hold = world.executor.hold(hold_at, job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    await other.take()
    hold.release()
    await until(lambda: world.controller._runs, lambda runs: job_id not in runs, "no run")
    with suppress(DatabaseUnavailableError):
        await world.controller.run_once()
    other.close()
    await ticks(world)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.exit_code, world.log(job_id)) == (3, b"hello")


@LOSSES
async def test_while_idle(world, lose):
    await world.controller.run_once()
    lose(world)
    await ticks(world)
    with pytest.raises(DataDirectoryUnavailableError):
        await world.submit("out:hello", "exit:0")
    bring_back(world)
    await world.until_status(await world.submit("out:hello", "exit:0"), COMPLETED)


@LOSSES
async def test_a_queued_job_waits_and_runs(world, lose):
    await world.controller.run_once()
    job_id = await world.submit("out:hello", "exit:0", secrets=[Secret("TOKEN", b"very secret")])
    lose(world)
    await ticks(world)
    assert (await world.row(job_id)).status is QUEUED
    bring_back(world)
    assert (await world.until_status(job_id, COMPLETED)).outcome.success
    assert world.log(job_id) == b"hello"
    await world.until_clean()


@LOSSES
async def test_a_queued_job_can_be_cancelled_meanwhile(world, lose):
    await world.controller.run_once()
    job_id = await world.submit("out:hello", "exit:0")
    lose(world)
    await world.submissions.request_cancel(job_id, world.clock())
    await world.until_status(job_id, CANCELLED)
    bring_back(world)
    assert world.log(job_id) == b""


@LOSSES
async def test_a_running_job_completes_with_its_whole_log(world, lose):
    job_id = await world.submit("out:one\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one\n")
    workload = world.executor.workloads[job_id]
    lose(world)
    workload.write(b"two\n")
    await ticks(world)
    workload.write(b"three\n")
    workload.exit(0)
    await until(lambda: world.controller._runs, lambda runs: not runs, "the run to give up")
    await ticks(world, 10)
    assert (await world.row(job_id)).status is RUNNING
    assert workload.stored == 0, "nothing is acknowledged that is not stored"
    assert job_id in world.executor.workloads, "it holds the output"
    bring_back(world)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.success, job.log_dropped, job.log_size) == (True, 0, 14)
    assert world.log(job_id) == b"one\ntwo\nthree\n"
    await world.until_clean()


@LOSSES
async def test_a_running_job_is_stopped_by_a_cancel_meanwhile(world, lose):
    job_id = await world.submit("out:one\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one\n")
    lose(world)
    world.executor.workloads[job_id].write(b"two\n")
    await ticks(world)
    await world.submissions.request_cancel(job_id, world.clock())
    await ticks(world, 1)
    await until(lambda: world.executor.calls, lambda calls: ("stop", job_id) in calls, "a stop")
    bring_back(world)
    job = await world.until_status(job_id, CANCELLED)
    assert job.outcome.reason is Reason.CANCELLED
    assert world.log(job_id) == b"one\ntwo\n"
    await world.until_clean()


@LOSSES
async def test_a_timeout_holds_meanwhile(world, lose):
    job_id = await world.submit("out:one\n", timeout=60.0)
    await world.until_status(job_id, RUNNING)
    lose(world)
    world.executor.workloads[job_id].write(b"two\n")
    await ticks(world, 1)
    world.clock.advance(60)
    await ticks(world, 1)
    await until(lambda: world.executor.calls, lambda calls: ("stop", job_id) in calls, "a stop")
    bring_back(world)
    assert (await world.until_status(job_id, FAILED)).outcome.reason is Reason.TIMEOUT


@LOSSES
async def test_another_controller_takes_over_meanwhile(world, lose):
    job_id = await world.submit("out:one\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one\n")
    workload = world.executor.workloads[job_id]
    await world.controller.close()
    world.clock.advance(LEASE_SECONDS + 1)
    world.controller = world.new_controller()
    lose(world)
    workload.write(b"two\n")
    workload.exit(3)
    await ticks(world)
    assert (await world.row(job_id)).status is RUNNING
    bring_back(world)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.exit_code == 3
    assert world.log(job_id) == b"one\ntwo\n"


@LOSSES
async def test_a_lost_container_meanwhile_counts_as_lost_afterwards(world, lose):
    job_id = await world.submit("out:one\n")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"one\n")
    lose(world)
    world.executor.vanish(job_id)
    await until(lambda: world.controller._runs, lambda runs: not runs, "the run to give up")
    await ticks(world, 10)
    assert (await world.row(job_id)).status is RUNNING
    bring_back(world)
    assert (await world.until_status(job_id, FAILED)).outcome.reason is Reason.LOST


async def test_in_an_empty_directory_that_was_adopted_everything_goes_on(world):
    """What the container holds is the whole log; an upload that is lost is told."""
    running = await world.submit("out:one\n")
    await world.until_status(running, RUNNING)
    await world.until_log(running, b"one\n")
    queued = await world.submit("exit:0")
    workload = world.executor.workloads[running]
    shutil.rmtree(world.data_path)
    workload.write(b"two\n")
    workload.exit(0)
    await ticks(world)
    world.data_path.mkdir()
    await adopt(world.data_path, world.database)
    assert (await world.until_status(running, COMPLETED)).outcome.success
    assert world.log(running) == b"one\ntwo\n"
    lost = await world.until_status(queued, FAILED)
    assert lost.outcome.reason is Reason.PACKAGE_CORRUPT
    await world.until_status(await world.submit("exit:0"), COMPLETED)


async def test_the_reason_is_logged_once(world, caplog):
    await world.controller.run_once()
    move_away(world)
    await ticks(world, 20)
    bring_back(world)
    await ticks(world, 5)
    told = [record.message for record in caplog.records if str(world.data_path) in record.message]
    assert len(told) == 2, told


# ---------------------------------------------------------------------- the database


def move_database(world):
    for path in world.database.path.parent.glob("ci.db*"):
        path.rename(path.with_name(f"away-{path.name}"))


def database_back(world):
    for path in world.database.path.parent.glob("away-ci.db*"):
        path.rename(path.with_name(path.name.removeprefix("away-")))


async def run_ticks(world, count=4):
    """As `Controller.run` does."""
    for _ in range(count):
        world.clock.advance(2.0)
        with suppress(DatabaseUnavailableError):
            await world.controller.run_once()


async def test_no_job_is_begun_on_a_database_that_is_gone(world):
    await world.controller.run_once()
    job_id = await world.submit("out:hello", "exit:0")
    move_database(world)
    await run_ticks(world)
    assert world.executor.workloads == {}
    database_back(world)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"hello"


async def test_an_end_is_recorded_when_the_database_is_back(world):
    job_id = await world.submit("out:one\n")
    await world.until_status(job_id, RUNNING)
    move_database(world)
    world.executor.workloads[job_id].write(b"two\n")
    world.executor.workloads[job_id].exit(0)
    await until(lambda: world.controller._runs, lambda runs: not runs, "the run to give up")
    await run_ticks(world)
    assert job_id in world.executor.workloads
    database_back(world)
    job = await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"one\ntwo\n"
    assert job.outcome.success
    await world.until_clean()
