"""What is done between a workload's end and the job's: the log's tail, artifacts, reports."""

import errno
import re

import pytest

from ci_common.errors import FilesUnreadableError
from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Reason, ResourceLimits
from support.controller_world import ControllerWorld
from support.fake_executor import FakeOutput
from support.waiting import until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED, FAILED = JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED

CAP = 1 << 20
HEAD, TAIL = CAP * 3 // 4, CAP // 4
OUTPUT = b"".join(b"line %d\n" % number for number in range(300_000))
MARKER = re.compile(rb"\n\[\.\.\. (\d+) bytes left out: [^\n]*\]\n")
SMALL_LOG = ResourceLimits(log_mb=1)


# ------------------------------------------------------------------ the log's size


@pytest.fixture
def large_pieces(monkeypatch):
    monkeypatch.setattr(FakeOutput, "PIECE_BYTES", 50_021)


def assert_capped(log, dropped, output=OUTPUT):
    """Head, one marker line, tail; and the marker tells the truth."""
    assert log[:HEAD] == output[:HEAD]
    marker = MARKER.match(log, HEAD)
    assert marker is not None
    assert int(marker[1]) == dropped
    tail = log[marker.end() :]
    assert len(tail) <= TAIL
    assert output == output[:HEAD] + output[HEAD : HEAD + dropped] + tail
    assert len(MARKER.findall(log)) == 1


async def running(world, **options):
    job_id = await world.submit(limits=SMALL_LOG, **options)
    await world.until_status(job_id, RUNNING)
    return job_id, world.executor.workloads[job_id]


async def until_head(world, job_id):
    await until(lambda: world.logs.size(job_id), lambda size: size >= HEAD, "the log's head")


@pytest.mark.usefixtures("large_pieces")
@pytest.mark.parametrize("code", [0, 3])
async def test_a_log_that_is_too_large_keeps_head_and_tail_and_the_result_counts(world, code):
    job_id, workload = await running(world)
    workload.write(OUTPUT)
    await until_head(world, job_id)
    assert world.logs.size(job_id) == HEAD, "what comes then is held back until the end"
    workload.exit(code)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.LOG_LIMIT, code)
    assert job.outcome.success is (code == 0)
    assert job.log_size == len(world.log(job_id))
    assert_capped(world.log(job_id), job.log_dropped)
    await world.until_clean()


@pytest.mark.usefixtures("large_pieces")
async def test_a_log_between_head_and_cap_is_whole(world):
    output = OUTPUT[: HEAD + TAIL]
    job_id, workload = await running(world)
    workload.write(output)
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.reason, job.log_dropped) == (Reason.EXIT, 0)
    assert world.log(job_id) == output


@pytest.mark.usefixtures("large_pieces")
async def test_a_graver_reason_comes_first(world):
    job_id, workload = await running(world)
    workload.write(OUTPUT)
    await until_head(world, job_id)
    await world.submissions.request_cancel(job_id, world.clock())
    job = await world.until_status(job_id, JobStatus.CANCELLED)
    assert job.outcome.reason is Reason.CANCELLED
    assert_capped(world.log(job_id), job.log_dropped)


@pytest.mark.usefixtures("large_pieces")
async def test_the_next_controller_completes_a_log_of_which_only_the_head_is_stored(world):
    job_id, workload = await running(world)
    workload.write(OUTPUT[: HEAD + 5000])
    await until_head(world, job_id)
    await world.controller.close()
    workload.write(OUTPUT[HEAD + 5000 :])
    workload.exit(0)
    world.controller = world.new_controller()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.reason is Reason.LOG_LIMIT
    assert_capped(world.log(job_id), job.log_dropped)


@pytest.mark.usefixtures("large_pieces")
@pytest.mark.parametrize("written", [1, 30, 90, 1000, TAIL])
async def test_the_next_controller_completes_a_half_written_ending(tmp_path, world, written):
    """The first one was killed while it wrote marker and tail."""
    (tmp_path / "other").mkdir()
    other = await ControllerWorld(tmp_path / "other").open()
    try:
        whole_id, workload = await running(other)
        workload.write(OUTPUT)
        workload.exit(0)
        await other.until_status(whole_id, COMPLETED)
        whole = other.log(whole_id)
    finally:
        await other.close()
    job_id, workload = await running(world)
    workload.write(OUTPUT)
    await until_head(world, job_id)
    await world.controller.close()
    log = world.logs.open(job_id, 1)
    log.append(whole[HEAD : HEAD + written])
    log.close()
    workload.exit(0)
    world.controller = world.new_controller()
    job = await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == whole
    assert_capped(whole, job.log_dropped)


@pytest.mark.usefixtures("large_pieces")
async def test_a_dropped_connection_beyond_the_head_loses_nothing(world, monkeypatch):
    monkeypatch.setattr("ci_controller.running.job_run._SETTLE_SECONDS", 0.02)
    job_id, workload = await running(world)
    workload.write(OUTPUT[: CAP * 2])
    await until_head(world, job_id)
    seen = world.executor.count("reattach", job_id)
    workload.drop()
    await until(
        lambda: world.executor.count("reattach", job_id), lambda count: count > seen, "reattach"
    )
    workload.write(OUTPUT[CAP * 2 :])
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert_capped(world.log(job_id), job.log_dropped)


# ------------------------------------------------------------------ artifacts and reports

REPORT = '<testsuite><testcase name="t" time="1.5"><failure message="no"/></testcase></testsuite>'


async def content(world, job_id):
    """Of the recorded artifacts, by path."""
    found = {}
    for artifact in await world.submissions.artifacts(job_id):
        with world.artifacts.open(job_id, artifact) as file:
            found[artifact.path] = file.read()
    return found


async def test_artifacts_are_stored_before_the_end_is_recorded(world):
    job_id = await world.submit("file:output/a=content", "file:other=no artifact", "exit:1")
    hold = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    assert (await world.row(job_id)).status is RUNNING
    assert job_id in world.executor.workloads
    removed = world.executor.hold("remove", job_id)
    hold.release()
    await removed.reached.wait()
    job = await world.row(job_id)
    assert (job.status, job.artifacts_size) == (COMPLETED, 7)
    assert await content(world, job_id) == {"output/a": b"content"}
    removed.release()
    await world.until_clean()
    assert all(files.closed for files in world.executor.files_given)


async def test_a_report_is_read(world):
    job_id = await world.submit(f"file:output/junit.xml={REPORT}", "exit:1")
    job = await world.until_status(job_id, COMPLETED)
    assert (job.tests.total, job.tests.failed) == (1, 1)
    assert job.tests.failures[0].message == "no"


async def test_an_engine_that_goes_away_while_collecting_is_waited_for(world, caplog):
    job_id = await world.submit("out:hello", "file:output/a=content", "exit:7")
    world.executor.down.add("files")

    async def tick():
        await world.controller.run_once()
        world.clock.advance(1)
        return caplog.text.count(f"{job_id} waits")  # a try that has begun may have to wait longer

    await until(tick, lambda count: count >= 3, "three tries")
    assert (await world.row(job_id)).status is RUNNING
    world.engine_returns()
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.exit_code == 7
    assert await content(world, job_id) == {"output/a": b"content"}
    assert world.log(job_id) == b"hello"
    await world.until_clean()


async def test_a_controller_that_is_killed_while_collecting_leaves_it_to_the_next(world):
    job_id = await world.submit("out:hello", "file:output/a=content", "exit:7")
    hold = world.executor.hold("files", job_id)
    await world.controller.run_once()
    await hold.reached.wait()
    await world.controller.close()
    assert (await world.row(job_id)).status is RUNNING
    world.controller = world.new_controller()
    job = await world.until_status(job_id, COMPLETED)
    assert (job.outcome.exit_code, job.artifacts_size) == (7, 7)
    assert world.log(job_id) == b"hello"
    await world.until_clean()
    assert list((world.data_path / "staging" / "artifacts").iterdir()) == []


async def test_files_that_cannot_be_read_are_told_and_do_not_cost_the_result(world):
    job_id = await world.submit("file:output/a=content")
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    workload.files["output/b"] = FilesUnreadableError("its disk is broken")
    workload.exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert job.outcome.success
    assert "its disk is broken" in job.outcome.message
    assert await content(world, job_id) == {"output/a": b"content"}


class FullArtifacts:
    """An artifact store on a disk that has no room."""

    def __init__(self, store):
        self._store = store
        self.delete, self.job_ids = store.delete, store.job_ids
        self.sweep_staging = store.sweep_staging

    def begin(self, job_id):
        batch = self._store.begin(job_id)

        def add(path, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        batch.add = add
        return batch


async def test_a_disk_that_is_full_while_collecting_fails_the_job(world):
    await world.controller.close()
    world.controller = world.new_controller(artifacts=FullArtifacts(world.artifacts))
    job_id = await world.submit("out:hello", "file:output/a=content", "exit:0")
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.DISK_FULL
    assert "No space left" in job.outcome.message
    line = b"\n" + failure_line(job.outcome)
    assert (job.log_size, world.log(job_id)) == (5 + len(line), b"hello" + line)
    assert (job.artifacts_size, await world.submissions.artifacts(job_id)) == (0, [])
    await world.until_clean()
    assert list((world.data_path / "staging" / "artifacts").iterdir()) == []


@pytest.mark.usefixtures("large_pieces")
async def test_a_full_disk_is_told_although_the_log_was_capped(world):
    await world.controller.close()
    world.controller = world.new_controller(artifacts=FullArtifacts(world.artifacts))
    job_id, workload = await running(world)
    workload.files["output/a"] = b"content"
    workload.write(OUTPUT)
    workload.exit(0)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.DISK_FULL
    log, line = world.log(job_id), failure_line(job.outcome)
    assert log.endswith(line)
    assert_capped(log.removesuffix(line), job.log_dropped)
