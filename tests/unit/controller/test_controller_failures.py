"""Who reads only the log sees why a job failed: once, whatever happens to the controller."""

import pytest

from ci_common.errors import DiskFullError
from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Reason, ResourceLimits
from ci_common.secret import Secret
from ci_persistence.logs.appender import SegmentAppender
from support.controller_world import GRACE_SECONDS, LOST_LINE
from support.waiting import until

pytestmark = pytest.mark.anyio

INITIALIZING, RUNNING = JobStatus.INITIALIZING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
START = b"ci: the job failed: "


async def assert_told(world, job_id, before, reason):
    """The log is what was there before and the line, and that is all of it."""
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is reason
    assert world.log(job_id) == before + failure_line(job.outcome)
    assert job.log_size == len(world.log(job_id))
    assert job.failing is None
    await world.until_clean()
    return job


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("ImageUnavailableError", Reason.IMAGE_UNAVAILABLE),
        ("LaunchFailedError", Reason.LAUNCH_FAILED),
        ("PackageCorruptError", Reason.PACKAGE_CORRUPT),
        ("SetupFailedError", Reason.SETUP_FAILED),
        ("defect", Reason.INTERNAL),
    ],
)
@pytest.mark.parametrize("setup", [b"", b"installing\n", b"installing"])
async def test_what_a_launch_fails_for(world, fault, reason, setup):
    world.executor.setup_output = setup
    job_id = await world.submit(env={"FAULT_LAUNCH": fault})
    before = setup if setup.endswith(b"\n") or not setup else setup + b"\n"
    await assert_told(world, job_id, before, reason)


async def test_a_timeout(world):
    job_id = await world.submit("out:no line end", timeout=5.0)
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"no line end")
    world.clock.advance(5)
    await world.until_status(job_id, FAILED)
    assert world.log(job_id) == b"no line end"


async def test_out_of_memory(world):
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    world.executor.workloads[job_id].exit(137, oom_killed=True)
    job = await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"hello"
    assert job.log_size == len(world.log(job_id))


@pytest.mark.parametrize("code", [0, 1])
async def test_a_command_that_ends_by_itself_has_its_log_for_itself(world, code):
    job_id = await world.submit("out:hello", f"exit:{code}")
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"hello"


async def test_a_job_that_is_cancelled_has_its_log_for_itself(world):
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello")
    await world.submissions.request_cancel(job_id, world.clock())
    await world.until_status(job_id, CANCELLED)
    assert world.log(job_id) == b"hello"


async def test_a_secret_that_the_engine_quotes_is_masked(world, monkeypatch):
    secret = Secret("TOKEN", b"correct-horse-battery")
    job_id = await world.submit(secrets=[secret], env={"FAULT_LAUNCH": "LaunchFailedError"})
    monkeypatch.setattr(
        "ci_common.errors.LaunchFailedError.__doc__", "invalid: TOKEN=correct-horse-battery"
    )
    job = await world.until_status(job_id, FAILED)
    assert b"TOKEN=****" in world.log(job_id)
    assert b"horse" not in world.log(job_id)
    assert world.log(job_id) == failure_line(job.outcome)


# ------------------------------------------------------------------ a kill in between


def cannot_record(world, monkeypatch):
    """The controller comes as far as the row, and no further."""

    async def no_row(*_):
        raise DiskFullError

    monkeypatch.setattr(world.controller._context.transitions, "finish", no_row)


async def killed_before_the_row(world, monkeypatch, job_id):
    cannot_record(world, monkeypatch)

    async def tick():
        await world.controller.run_once()
        return world.log(job_id)

    await until(tick, lambda log: START in log, "the line")
    await world.controller.close()
    assert not (await world.row(job_id)).status.is_terminal
    world.controller = world.new_controller()


@pytest.mark.parametrize("fixed", [False, True])
async def test_killed_between_the_line_and_the_row(world, monkeypatch, fixed):
    """Also when a launch would succeed by now: readers have been told how the job ended."""
    world.executor.setup_output = b"installing"
    job_id = await world.submit("exit:0", env={"FAULT_LAUNCH": "ImageUnavailableError"})
    await killed_before_the_row(world, monkeypatch, job_id)
    if fixed:
        monkeypatch.setattr(world.executor, "_fail_as", lambda fault: None)
    await assert_told(world, job_id, b"installing\n", Reason.IMAGE_UNAVAILABLE)
    assert world.executor.count("launch", job_id) == 1


async def test_killed_again_and_again(world, monkeypatch):
    job_id = await world.submit(env={"FAULT_LAUNCH": "LaunchFailedError"})
    for _ in range(3):
        await killed_before_the_row(world, monkeypatch, job_id)
    await assert_told(world, job_id, b"", Reason.LAUNCH_FAILED)


@pytest.mark.parametrize("kept", [0, 1, 10, len(START), 40])
async def test_a_power_cut_in_the_line(world, monkeypatch, kept):
    """The row is committed to it; the log's last bytes are lost."""
    job_id = await world.submit(env={"FAULT_LAUNCH": "LaunchFailedError"})
    world.executor.setup_output = b"installing"
    await killed_before_the_row(world, monkeypatch, job_id)
    begun = (await world.row(job_id)).failing
    log = world.logs.open(job_id, 2)
    log.truncate(begun.log_offset + kept)
    log.close()
    job = await world.until_status(job_id, FAILED)
    line = failure_line(job.outcome)
    assert world.log(job_id).startswith(b"installing")
    assert world.log(job_id).endswith(b"\n" + line)
    assert world.log(job_id).count(line) == 1


async def test_a_job_that_ran_is_not_followed_any_more_once_its_failure_is_begun(
    world, monkeypatch
):
    """Or the line would be taken for output that is stored already."""
    secret = Secret("TOKEN", b"correct-horse-battery")
    job_id = await world.submit("out:hello ", secrets=[secret])
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello ")
    await world.controller.close()
    kept = world.secrets.of
    monkeypatch.setattr(world.secrets, "of", lambda job: secrets_are_away(kept, job))
    world.controller = world.new_controller()
    world.executor.workloads[job_id].write(b"and more, that nobody reads")
    await killed_before_the_row(world, monkeypatch, job_id)
    monkeypatch.setattr(world.secrets, "of", kept)
    job = await assert_told(world, job_id, b"hello \n", Reason.SECRETS_UNAVAILABLE)
    assert job.log_dropped is None


def secrets_are_away(kept, job):
    from ci_common.errors import SecretsUnavailableError

    raise SecretsUnavailableError


@pytest.mark.parametrize("times", [1, 3])
async def test_killed_between_the_line_of_a_lost_job_and_the_row(world, monkeypatch, times):
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello")
    await world.lose(job_id)
    for _ in range(times):
        await killed_before_the_row(world, monkeypatch, job_id)
    await assert_told(world, job_id, b"hello" + LOST_LINE, Reason.LOST)


async def test_killed_before_the_line_of_a_lost_job_whose_workload_comes_back(world, monkeypatch):
    """What was committed to stays, and nothing of the workload's is taken for anything else."""
    job_id = await world.submit("out:hello")
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"hello")
    workload = world.executor.workloads[job_id]
    await world.lose(job_id)
    await killed_before_the_row(world, monkeypatch, job_id)
    world.executor.workloads[job_id] = workload
    world.clock.advance(GRACE_SECONDS)
    await assert_told(world, job_id, b"hello" + LOST_LINE, Reason.LOST)


@pytest.mark.parametrize("capped", [False, True])
async def test_what_is_held_of_a_large_log_comes_before_it_and_once(world, monkeypatch, capped):
    head, tail = (3 << 20) // 4, (1 << 20) // 4
    size = head + (3 * tail if capped else tail // 2)
    content = b"".join(b"line %d\n" % number for number in range(150_000))[:size]
    monkeypatch.setattr("support.fake_executor.FakeOutput.PIECE_BYTES", 50_021)
    job_id = await world.submit(limits=ResourceLimits(log_mb=1))
    await world.until_status(job_id, RUNNING)
    world.executor.workloads[job_id].write(content)
    run = world.controller._runs[job_id][0]
    await until(lambda: held(world, job_id), lambda end: end == size, "all of it held")
    await world.lose(job_id)
    assert run is not None
    for _ in range(2):
        await killed_before_the_row(world, monkeypatch, job_id)
    job = await world.until_status(job_id, FAILED)
    log, line = world.log(job_id), failure_line(job.outcome)
    assert log.endswith(content[-1000:] + LOST_LINE + line)
    assert log.count(line) == 1
    assert log.count(LOST_LINE) == 1
    if not capped:
        assert log == content + LOST_LINE + line


def held(world, job_id):
    """How far into the output it is, in the log and beyond."""
    paths = [*(world.data_path / "logs").rglob("*")]
    log = world.logs.open(job_id, 1)
    try:
        start, content = log.held(0)
        return start + len(content) if paths else 0
    finally:
        log.close()


async def test_a_log_that_cannot_have_the_line_keeps_no_job_from_its_end(world, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    job_id = await world.submit(env={"FAULT_LAUNCH": "ImageUnavailableError"})
    monkeypatch.setattr(SegmentAppender, "append", lambda self, content: broken() if content else 0)
    job = await world.until_status(job_id, FAILED)
    assert (job.outcome.reason, job.log_size) == (Reason.IMAGE_UNAVAILABLE, 0)


async def test_a_failure_that_cannot_be_begun_changes_nothing(world, monkeypatch):
    """For want of room: the job goes on when there is some."""
    job_id = await world.submit("out:hello", "exit:0", env={"FAULT_LAUNCH": "LaunchFailedError"})

    async def no_row(*_):
        raise DiskFullError

    monkeypatch.setattr(world.controller._context.transitions, "begin_failure", no_row)
    for _ in range(3):
        await world.controller.run_once()
        await until(lambda: world.controller._runs, lambda runs: not runs, "the end of the runs")
    assert (await world.row(job_id)).status is INITIALIZING
    assert world.log(job_id) == b""
    monkeypatch.setattr(world.executor, "_fail_as", lambda fault: None)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"hello"


async def test_an_old_controller_says_nothing(world):
    """It has lost the lease while its launch failed."""
    job_id = await world.submit("out:hello", "exit:0", env={"FAULT_LAUNCH": "LaunchFailedError"})
    hold = world.executor.hold("probe", "")
    await world.controller.run_once()
    await hold.reached.wait()
    old = world.take_over()
    world.executor._fail_as = lambda fault: None
    await world.until_status(job_id, COMPLETED)
    hold.release()
    await until(lambda: old._runs, lambda runs: not runs, "the end of its runs")
    assert world.log(job_id) == b"hello"
    assert (await world.row(job_id)).outcome.success
