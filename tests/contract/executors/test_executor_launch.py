"""What every executor promises of a launch: what it replaces, and what it leaves."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ci_common.errors import LeaseLostError, PackageCorruptError
from ci_common.ports.workloads import WorkloadState
from support.archives import DOS_ZERO, patched, timed_zip, zip_bytes
from support.executors import (
    WAIT_FOR_EVER,
    collect,
    drain,
    read_line,
    running,
)

pytestmark = pytest.mark.anyio


async def test_launch_replaces_a_leftover(bench):
    job = bench.job("import os; print(os.path.exists('mark')); open('mark', 'w').close()")
    for _ in range(2):
        assert await collect(await bench.launch(job)) == b"False\n"
        await bench.ended(job.job_id)


async def test_launch_replaces_one_that_still_runs(bench):
    job = bench.job(WAIT_FOR_EVER)
    first = await bench.launch(job)
    assert await read_line(first) == b"ready\n"
    second = await bench.launch(job)
    assert await read_line(second) == b"ready\n"
    assert len(await bench.executor.list_workloads()) == 1
    await bench.executor.remove(job.job_id)
    await drain(first)
    await drain(second)


async def test_launch_replaces_what_an_earlier_controller_or_attempt_left(bench):
    job = bench.job(WAIT_FOR_EVER)
    first = await bench.launch(job, epoch=3)
    assert await read_line(first) == b"ready\n"
    later = replace(job, attempt=2)
    second = await bench.launch(later, epoch=4)
    assert await read_line(second) == b"ready\n"
    (seen,) = await bench.executor.list_workloads()
    assert seen.attempt == (await bench.executor.inspect(job.job_id)).attempt == 2
    assert seen.epoch == (await bench.executor.inspect(job.job_id)).epoch == 4
    await bench.executor.remove(job.job_id)
    await drain(first)
    await drain(second)


async def test_launch_never_replaces_what_a_later_controller_made(bench):
    async with running(bench, epoch=5) as (job, output):
        for attempt in (1, 2):
            with pytest.raises(LeaseLostError):
                await bench.launch(replace(job, attempt=attempt), epoch=4)
        seen = await bench.executor.inspect(job.job_id)
        assert (seen.state, seen.attempt) == (WorkloadState.RUNNING, 1)
        await bench.executor.stop(job.job_id, 30)
        assert await collect(output) == b""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05, 0.2, 0.5])
async def test_a_cancelled_launch_leaves_nothing_but_a_workload_to_remove(bench, delay):
    mark = f"{bench.instance}-{delay}"
    job = bench.job("python", "-c", WAIT_FOR_EVER, mark)
    launching = asyncio.create_task(bench.launch(job))
    await asyncio.sleep(delay)
    launching.cancel()
    try:
        output = await launching
    except asyncio.CancelledError:
        left = [seen.job_id for seen in await bench.executor.list_workloads()]
        assert len(bench.leftovers()) == len(left)
        assert left in ([], [job.job_id])
        await bench.executor.remove(job.job_id)
        assert bench.leftovers() == []
        assert _processes(mark) == []
    else:
        await bench.executor.remove(job.job_id)
        await drain(output)


def _processes(mark):
    """The processes of this machine with the text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


async def test_a_damaged_package_leaves_nothing(bench):
    content = zip_bytes({"good.txt": b"good " * 100, "bad.txt": b"bad " * 100})
    job = bench.job("pass", package=patched(content, "bad.txt", central={16: b"abcd"}))
    with pytest.raises(PackageCorruptError):
        await bench.launch(job)
    assert bench.leftovers() == []
    job = bench.job("pass", package=b"no zip")
    with pytest.raises(PackageCorruptError):
        await bench.launch(job)
    assert bench.leftovers() == []


async def test_a_damaged_requirements_file_leaves_nothing(bench):
    content = zip_bytes({"requirements.txt": b"# nothing\n" * 10})
    content = patched(content, "requirements.txt", central={16: b"abcd"})
    with pytest.raises(PackageCorruptError):
        await bench.launch(bench.job("pass", package=content))
    assert bench.leftovers() == []


TIMES = """
import os, shutil, tempfile
for path in sorted(["."] + [os.path.join(top, name) for top, names, files in os.walk(".")
                            for name in names + files]):
    print(path, int(os.lstat(path).st_mtime))
with tempfile.TemporaryDirectory() as directory:
    shutil.make_archive(os.path.join(directory, "archive"), "zip", ".")
"""


async def test_files_have_the_times_of_the_package_and_else_of_the_submission(bench):
    """None is before 1980, which zip (of a wheel, say) cannot tell, and none is in the future."""
    if bench.kind == "fake":
        pytest.skip("the fake runs no command that could look at files")
    submitted_at = datetime(2024, 5, 6, 12, tzinfo=UTC)
    known = {"dir/": (2020, 1, 2, 3, 4, 6), "dir/a": (2021, 1, 2, 3, 4, 6)}
    package = timed_zip(
        {
            **known,
            "implied/b": DOS_ZERO,
            "future": (2030, 1, 1, 0, 0, 0),
            "early": (1980, 1, 1, 0, 0, 0),
            "link": DOS_ZERO,
        },
        links={"link": "dir/a"},
    )
    job = replace(bench.job(TIMES, package=package), created_at=submitted_at)
    seen = (await collect(await bench.launch(job))).decode().splitlines()
    at = int(submitted_at.timestamp()) - 2
    directory, file = (int(datetime(*m, tzinfo=UTC).timestamp()) for m in known.values())
    assert seen == [
        f". {at}",
        f"./dir {directory}",
        f"./dir/a {file}",
        "./early 315619200",
        f"./future {at}",
        f"./implied {at}",
        f"./implied/b {at}",
        f"./link {at}",
    ]
