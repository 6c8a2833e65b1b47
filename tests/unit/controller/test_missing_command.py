"""A command that is not there is named in the job's log, in the same words for each executor."""

import pytest

from ci_common.job import JobStatus, Reason

pytestmark = pytest.mark.anyio

BY_DOCKER = b"ci-init: cannot run nosuch: No such file or directory\n"
BY_PROCESS = b"cannot run 'nosuch': [Errno 2] No such file or directory: 'nosuch'\n"
LINE = b"command not found in PATH: nosuch\n"


async def ended(world, output, code, command=("nosuch", "-x")):
    job_id = await world.submit(*command)
    await world.until_status(job_id, JobStatus.RUNNING)
    workload = world.executor.workloads[job_id]
    workload.write(output)
    workload.exit(code)
    return await world.until_status(job_id, JobStatus.COMPLETED)


@pytest.mark.parametrize(
    "output",
    [
        BY_DOCKER,
        BY_PROCESS,
        b"sh: 1: exec: nosuch: not found\n",
        b"sh: exec: line 0: nosuch: not found\n",
        b"sh: line 1: exec: nosuch: not found\n",
        b"sh: line 1: nosuch: No such file or directory\n"
        b"sh: line 1: exec: nosuch: cannot execute: No such file or directory\n",
        b"sh: 1: exec: nosuch: not found\r\n",
    ],
)
async def test_the_log_says_that_the_command_was_not_found(world, output):
    job = await ended(world, output, 127)
    assert (job.outcome.reason, job.outcome.exit_code) == (Reason.EXIT, 127)
    assert world.log(job.job_id) == output + LINE
    assert job.log_size == len(output + LINE)


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (b"sh: 1: exec: other: not found\n", 127),
        (b"sh: 1: nosuch: not found\n", 127),
        (b"ci-init: cannot run /bin/sh: No such file or directory\n", 127),
        (BY_DOCKER, 1),
        (b"begin\n" + BY_DOCKER, 127),
        (BY_DOCKER + b"more", 127),
        (b"cannot run 'nosuch': [Errno 13] Permission denied: 'nosuch'\n", 127),
        (b"", 127),
    ],
)
async def test_other_output_is_left_as_it_is(world, output, code):
    job = await ended(world, output, code)
    assert world.log(job.job_id) == output


async def test_a_name_cannot_write_lines_of_its_own(world):
    output = b"ci-init: cannot run a\nb: No such file or directory\n"
    job = await ended(world, output, 127, ("a\nb",))
    assert world.log(job.job_id) == output + b"command not found in PATH: a b\n"


@pytest.mark.parametrize("written", [0, 1, 20, len(LINE)])
async def test_the_next_controller_completes_the_line(world, written):
    job_id = await world.submit("nosuch")
    await world.until_status(job_id, JobStatus.RUNNING)
    workload = world.executor.workloads[job_id]
    workload.write(BY_DOCKER)
    await world.until_log(job_id, BY_DOCKER)
    await world.controller.close()
    log = world.logs.open(job_id)
    log.append(LINE[:written])
    log.close()
    workload.exit(127)
    world.controller = world.new_controller()
    await world.until_status(job_id, JobStatus.COMPLETED)
    assert world.log(job_id) == BY_DOCKER + LINE
