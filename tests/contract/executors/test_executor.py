"""What every executor promises (port Executor), run against the real ones."""

import asyncio
import shutil
from dataclasses import replace

import pytest

from ci_common.ports.workloads import WorkloadState
from support.archives import zip_bytes
from support.executors import (
    WAIT_FOR_EVER,
    Bench,
    MemoryLog,
    collect,
    read_line,
    running,
)
from support.waiting import until

pytestmark = pytest.mark.anyio


async def test_it_says_in_a_line_what_jobs_run_in(bench):
    told = await bench.executor.describe()
    assert told.isprintable()
    assert told


# ------------------------------------------------------------------ exit codes


@pytest.mark.parametrize("code", [0, 1, 42, 255])
async def test_exit_code(bench, code):
    finished = await bench.run(f"import os; os._exit({code})")
    assert finished.workload.exit_code == code
    # The engine takes the two from different places: a quick process may end "before" it started.
    apart = finished.workload.finished_at - finished.workload.started_at
    assert abs(apart.total_seconds()) < 60


@pytest.mark.parametrize("number", [9, 11, 15])
async def test_exit_code_of_a_signal(bench, number):
    finished = await bench.run(f"import os; os.kill(os.getpid(), {number})")
    assert finished.workload.exit_code == 128 + number
    assert finished.workload.oom_killed is False


async def test_command_not_found(bench):
    finished = await bench.run("no-such-command", "argument")
    assert finished.workload.exit_code == 127
    assert b"no-such-command" in finished.output
    assert b"not found" in finished.output or b"No such file" in finished.output


async def test_command_that_is_not_executable(bench):
    finished = await bench.run("./file.txt", "argument")
    assert finished.workload.exit_code in (126, 127)
    assert b"file.txt" in finished.output


async def test_arguments_are_passed_as_they_are(bench):
    arguments = ["", " ", "a b", "*", "$HOME", "'", '"', "\\", "\n", "ä", "-c"]
    finished = await bench.run(
        "python", "-c", "import sys; print(ascii(sys.argv[1:]), end='')", *arguments
    )
    assert finished.output.decode() == ascii(arguments)


# ------------------------------------------------------------------ the workspace


async def test_the_project_is_there_with_its_modes_and_links(bench):
    package = zip_bytes(
        {"run.sh": b"#!/bin/sh\necho ran $0\n", "d/data": b"data", "secret": b"", "empty/": b""},
        links={"d/link": "../run.sh", "dangling": "nowhere"},
        modes={"run.sh": 0o755, "secret": 0o600},
    )
    source = (
        "import os, subprocess, stat\n"
        "subprocess.run(['./run.sh']); subprocess.run(['d/link'])\n"
        "print(open('d/data').read(), os.readlink('d/link'), os.readlink('dangling'))\n"
        "print(*(oct(stat.S_IMODE(os.stat(p).st_mode)) for p in ['run.sh', 'd/data', 'secret']))\n"
        "print(sorted(os.listdir('.')), sorted(os.listdir('empty')))\n"
    )
    finished = await bench.run("python", "-uc", source, package=package)
    assert finished.output.decode().splitlines() == [
        "ran ./run.sh",
        "ran d/link",
        "data ../run.sh nowhere",
        "0o755 0o644 0o600",
        "['d', 'dangling', 'empty', 'run.sh', 'secret'] []",
    ]


async def test_the_command_may_write_and_is_not_root(bench):
    finished = await bench.run(
        "import os; open('new', 'w').close(); open('file.txt', 'a').write('x'); os.mkdir('dir'); "
        "open(os.path.expanduser('~/in-home'), 'w').close(); "
        "print(os.getuid() != 0, os.getgid() != 0, 0 in os.getgroups(), "
        "os.stat('file.txt').st_uid == os.getuid(), os.environ['CI'], os.environ['X'])",
        env={"X": "from the job"},
    )
    expected = "True True False True true from the job\n"
    if not bench.changes_user:
        pytest.skip("the process executor changes the user as root, if that user can run Python")
    assert finished.output.decode() == expected


async def test_without_a_package_the_workspace_is_empty_and_the_commands_own(bench):
    source = (
        "import os; "
        "print(os.listdir('.'), os.stat('.').st_uid == os.getuid(), os.access('.', os.W_OK))"
    )
    request = replace(bench.request(bench.job(source)), package=None)
    output = await collect(await bench.executor.launch(request, MemoryLog()))
    assert output == b"[] True True\n"


# ------------------------------------------------------------------ stop


async def test_stop_lets_a_handler_finish(bench):
    source = (
        "import signal, sys, time\n"
        "def end(*_): print('bye', flush=True); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    async with running(bench, source) as (job, output):
        await bench.executor.stop(job.job_id, 30)
        seen = await bench.executor.inspect(job.job_id)
        assert (seen.state, seen.exit_code) == (WorkloadState.EXITED, 5)
        assert await collect(output) == b"bye\n"


async def test_stop_kills_after_the_grace(bench):
    source = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT_FOR_EVER
    async with running(bench, source) as (job, _):
        await bench.executor.stop(job.job_id, 1)
        seen = await bench.executor.inspect(job.job_id)
        assert (seen.state, seen.exit_code) == (WorkloadState.EXITED, 137)


async def test_stop_reaches_children(bench):
    source = (
        "import signal, subprocess, sys, time\n"
        "def end(*_): child.wait(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "child = subprocess.Popen([sys.executable, '-c', '''import signal, time\n"
        'def end(*_): print("child", flush=True); exit()\n'
        "signal.signal(signal.SIGTERM, end); print(\"ready\", flush=True); time.sleep(60)'''])\n"
        "time.sleep(60)"
    )
    async with running(bench, source) as (job, output):
        await bench.executor.stop(job.job_id, 30)
        assert await collect(output) == b"child\n"


async def test_stop_reaches_grandchildren(bench):
    """Two levels down, and the parents do not pass the signal on."""
    leaf = (
        "import signal, time\n"
        "def end(*_): print('leaf', flush=True); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    ignore = "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n"
    run = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
    )
    job = bench.job("python", "-c", ignore + run, ignore + run, leaf)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\n"
    await bench.executor.stop(job.job_id, 30)
    assert await collect(output) == b"leaf\n"
    assert (await bench.ended(job.job_id)).exit_code == 0


async def test_a_tree_of_directories_too_deep_for_python_is_removed(bench):
    source = (
        "import os\n"
        "for n in range(2000): os.mkdir('d'); os.chdir('d')\n"
        "open('leaf', 'w').close()\n"
        "print(n)"
    )
    assert (await bench.run(source)).output == b"1999\n"
    assert bench.leftovers() == []


async def test_directories_that_may_not_be_entered_are_removed(bench):
    source = "import os; os.makedirs('a/b'); os.chmod('a/b', 0); os.chmod('a', 0); os.chmod('.', 0)"
    assert (await bench.run(source)).workload.exit_code == 0
    assert bench.leftovers() == []


async def test_stop_without_a_workload_and_again(bench):
    await bench.executor.stop("11111111-0000-4000-8000-000000000000", 0)
    async with running(bench) as (job, _):
        await asyncio.gather(*(bench.executor.stop(job.job_id, 0) for _ in range(3)))
        await bench.executor.stop(job.job_id, 0)


# ------------------------------------------------------------------ list, inspect, remove


async def test_list_inspect_remove(bench):
    executor = bench.executor
    assert list(await executor.list_workloads()) == []
    assert await executor.inspect("11111111-0000-4000-8000-000000000000") is None
    async with running(bench) as (job, _):
        (listed,) = await executor.list_workloads()
        assert (listed.job_id, listed.state) == (job.job_id, WorkloadState.RUNNING)
        seen = await executor.inspect(job.job_id)
        assert seen.state is WorkloadState.RUNNING
        assert seen.exit_code is None
        assert seen.finished_at is None
        await executor.remove(job.job_id)
        assert await executor.inspect(job.job_id) is None
        assert list(await executor.list_workloads()) == []
        await executor.remove(job.job_id)
    assert bench.leftovers() == []


async def test_exited_workloads_are_listed_until_removed(bench):
    job = bench.job("print('x')")
    await collect(await bench.launch(job))
    await bench.ended(job.job_id)
    (listed,) = await bench.executor.list_workloads()
    assert listed.state is WorkloadState.EXITED


async def test_the_log_base_is_remembered(bench):
    log = MemoryLog()
    log.append(b"12345")
    job = bench.job("pass")
    await collect(await bench.launch(job, log))
    assert (await bench.ended(job.job_id)).log_base == 5
    assert (await bench.executor.list_workloads())[0].log_base == 5


async def test_another_instance_sees_and_touches_nothing(bench, tmp_path):
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other", bench.kind)
    try:
        async with running(bench) as (job, _):
            assert list(await other.executor.list_workloads()) == []
            await other.executor.remove(job.job_id)
            assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    finally:
        await other.close()
        shutil.rmtree(other.works, ignore_errors=True)


# ------------------------------------------------------------------ many at once


async def test_ten_at_once(bench):
    finished = await asyncio.gather(*(bench.run(f"print({number})") for number in range(10)))
    assert [job.output for job in finished] == [b"%d\n" % number for number in range(10)]


async def test_tidy_leaves_workloads_alone(bench):
    async with running(bench) as (job, _):
        await bench.executor.tidy(1)
        await until(
            lambda: bench.executor.inspect(job.job_id),
            lambda seen: seen.state is WorkloadState.RUNNING,
            "the workload running on",
        )
