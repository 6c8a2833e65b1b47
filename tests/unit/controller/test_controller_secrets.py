"""Secrets from the store to the workload, and out of whatever the controller writes."""

import os
import time

import pytest

from ci_common.failure_line import failure_line
from ci_common.job import JobStatus, Reason
from ci_common.secret import Secret
from ci_controller.output.masking import Masking
from ci_persistence.files.job_secrets import FileJobSecrets
from ci_persistence.files.secret_keys import SecretKeys
from support.executors import MemoryLog
from support.waiting import until

pytestmark = pytest.mark.anyio

COMPLETED, FAILED, RUNNING = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.RUNNING

TOKEN = Secret("TOKEN", b"correct-horse-battery")
KEY = Secret("KEY", b"first line of the key\nsecond line of it\n", in_environment=False)
STARS = b"*" * len(TOKEN.value)


def stored(world):
    return world.secrets.job_ids(0)


async def test_the_workload_gets_them_and_they_are_forgotten_at_the_end(world):
    job_id = await world.submit("out:hello\n", secrets=[TOKEN, KEY])
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    assert workload.secrets == [TOKEN, KEY]
    assert stored(world) == [job_id]
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)
    await world.until_clean()
    assert stored(world) == []


async def test_the_log_is_masked_as_it_comes(world):
    job_id = await world.submit("out:a correct-horse", secrets=[TOKEN])
    await world.until_status(job_id, RUNNING)
    await world.until_log(job_id, b"a ")
    world.executor.workloads[job_id].write(b"-battery b correct-")
    await world.until_log(job_id, b"a " + STARS + b" b ")
    world.executor.workloads[job_id].exit(0)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == b"a " + STARS + b" b correct-"


@pytest.mark.parametrize("written", range(0, 60, 3))
async def test_whoever_takes_over_masks_the_same(world, written):
    text = b"one correct-horse-battery two correct-horse-battery three\n"
    job_id = await world.submit(secrets=[TOKEN])
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    workload.write(text[:written])
    await world.controller.close()
    world.controller = world.new_controller()
    workload.write(text[written:])
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)
    assert world.log(job_id) == text.replace(TOKEN.value, STARS)


async def test_a_dropped_connection_in_the_middle_of_a_secret(world):
    job_id = await world.submit("out:x correct-hor", secrets=[TOKEN])
    await world.until_status(job_id, RUNNING)
    workload = world.executor.workloads[job_id]
    await world.until_log(job_id, b"x ")
    workload.drop()
    await until(lambda: len(workload.outputs), lambda count: count > 1, "another connection")
    workload.write(b"se-battery y\n")
    await world.until_log(job_id, b"x " + STARS + b" y\n")
    workload.exit(0)
    await world.until_status(job_id, COMPLETED)


async def test_a_retry_gets_them_again(world):
    job_id = await world.submit(secrets=[TOKEN], retries=1)
    await world.until_status(job_id, RUNNING)
    await world.lose(job_id)
    await until(
        lambda: world.controller.run_once(),
        lambda _: job_id in world.executor.workloads,
        "another attempt",
    )
    assert world.executor.workloads[job_id].secrets == [TOKEN]
    world.executor.workloads[job_id].write(b"correct-horse-battery\n")
    world.executor.workloads[job_id].exit(0)
    job = await world.until_status(job_id, COMPLETED)
    assert job.attempt == 2
    assert world.log(job_id).endswith(b"was lost]\n" + STARS + b"\n")


async def test_without_its_secrets_a_job_does_not_start(world):
    job_id = await world.submit("exit:0", secrets=[TOKEN])
    world.secrets.forget(job_id)
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.SECRETS_UNAVAILABLE
    assert "submit the job again" in job.outcome.message
    assert world.executor.count("launch", job_id) == 0


async def test_without_its_secrets_a_job_that_runs_is_ended_and_not_shown(world):
    """Better no log than one that may show them."""
    job_id = await world.submit(secrets=[TOKEN])
    await world.until_status(job_id, RUNNING)
    await world.controller.close()
    world.secrets.forget(job_id)
    world.executor.workloads[job_id].write(b"correct-horse-battery\n")
    world.controller = world.new_controller()
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.SECRETS_UNAVAILABLE
    assert world.log(job_id) == failure_line(job.outcome)
    await world.until_clean()


async def test_with_another_key_they_are_not_available(world, tmp_path):
    job_id = await world.submit("exit:0", secrets=[TOKEN])
    (tmp_path / "data" / "secret.key").unlink()
    job = await world.until_status(job_id, FAILED)
    assert job.outcome.reason is Reason.SECRETS_UNAVAILABLE
    assert "CI_SECRET_KEY" in job.outcome.message


REPORT = (
    '<testsuite><testcase name="t[correct-horse-battery]" time="1"><failure '
    'message="{message}"/></testcase></testsuite>'
)


@pytest.mark.parametrize("cut", [0, 10, 17])
async def test_test_reports_are_masked_also_where_they_are_cut(world, cut):
    message = "x" * (2000 - cut) + "correct-horse-battery"
    job_id = await world.submit(
        f"file:output/junit.xml={REPORT.format(message=message)}", "exit:1", secrets=[TOKEN]
    )
    job = await world.until_status(job_id, COMPLETED)
    (failure,) = job.tests.failures
    assert failure.name == "t[*********************]"
    assert failure.message == "x" * (2000 - cut) + "*" * cut
    assert job.tests.slowest[0].name == "t[*********************]"


def test_what_is_written_before_the_output_is_masked():
    log = MemoryLog()
    masked = Masking.of([TOKEN]).appender(log)
    masked.append(b"installing correct-horse")
    masked.append(b"-battery correct-")
    assert log.content == b"installing " + STARS + b" "
    assert masked.size == len(log.content) == len(b"installing ") + len(STARS) + len(b" correct-")
    masked.append(b"horse-battery")  # begins anew: what is stored stays
    assert masked.size == len(log.content)


def test_a_job_without_secrets_is_not_touched():
    masking, log = Masking.of([]), MemoryLog()
    assert masking.appender(log) is log
    assert masking.output(log) is log
    assert masking.text("text") == "text"


async def test_what_crashes_left_is_swept(world, tmp_path):
    old = time.time() - 7200
    queued = await world.submit("exit:0", secrets=[TOKEN])
    secrets = FileJobSecrets(tmp_path / "data", SecretKeys(tmp_path / "data", None))
    secrets.store("never-queued", [TOKEN])
    part = tmp_path / "data" / "secrets" / "x.part"
    part.write_bytes(b"")
    for path in (tmp_path / "data" / "secrets").iterdir():
        os.utime(path, (old, old))
    await world.controller._housekeeping._sweep()
    assert stored(world) == [queued]
    assert not part.exists()
