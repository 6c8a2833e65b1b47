"""What the process executor promises beyond the port."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ci_common.errors import LaunchFailedError, LeaseLostError, SetupFailedError, WorkloadLostError
from ci_common.ports.unenforced_limits import Limit
from ci_common.ports.workloads import WorkloadState
from ci_controller.executors.process.environments import unpack
from ci_controller.executors.process.state import WorkloadDirectories, remove_tree
from ci_persistence.files.data_directory import no_check
from ci_persistence.files.packages import StoredPackage
from support.archives import zip_bytes
from support.executors import MemoryLog, collect, read_line
from support.waiting import until

pytestmark = pytest.mark.anyio
EXECUTORS = ("process",)

WAIT_FOR_EVER = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)"


def held(monkeypatch, executor):
    """Make the installation of requirements wait: (it began, it may end)."""
    began, may_end = asyncio.Event(), asyncio.Event()
    install = executor._environments.bin_directories

    async def waits(*arguments):
        began.set()
        await may_end.wait()
        return await install(*arguments)

    monkeypatch.setattr(executor._environments, "bin_directories", waits)
    return began, may_end


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_a_later_controller_made_during_a_set_up_is_not_touched(
    bench, monkeypatch, cancelled
):
    job = bench.job(WAIT_FOR_EVER)
    old = bench.new_executor()
    began, may_end = held(monkeypatch, old)
    launching = asyncio.create_task(old.launch(bench.request(job), MemoryLog()))
    await began.wait()
    output = await bench.launch(job, epoch=2)
    assert await read_line(output) == b"ready\n"
    may_end.set()
    if cancelled:
        await asyncio.sleep(0)
        launching.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else LeaseLostError):
        await launching
    await old.close()
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    await bench.executor.remove(job.job_id)
    with pytest.raises(WorkloadLostError):
        await collect(output)


async def test_a_directory_that_is_in_the_way_is_told(bench, monkeypatch):
    began, may_end = held(monkeypatch, bench.executor)
    job = bench.job("pass")
    launching = asyncio.create_task(bench.launch(job))
    await began.wait()
    (bench.works / job.job_id).mkdir()
    may_end.set()
    with pytest.raises(LaunchFailedError, match="already exists"):
        await launching


@pytest.mark.parametrize("trap", ["link", "writable"])
async def test_a_place_that_is_not_ours_is_refused(bench, tmp_path, trap):
    """Its name is known to jobs, and it is in a directory where everybody may write."""
    if trap == "link":
        (tmp_path / "elsewhere").mkdir()
        bench.works.symlink_to(tmp_path / "elsewhere")
    else:
        bench.works.mkdir()
        bench.works.chmod(0o777)
    try:
        with pytest.raises(LaunchFailedError, match="in which jobs run"):
            await bench.launch(bench.job("pass"))
    finally:
        if trap == "link":
            bench.works.unlink()
    assert trap == "writable" or not list((tmp_path / "elsewhere").iterdir())


async def test_a_project_becomes_the_jobs_from_the_innermost_on(tmp_path, monkeypatch):
    """A directory that is theirs, with files in it that are not yet, is a place for links."""
    path = tmp_path / "package.zip"
    path.write_bytes(zip_bytes({"a/b/file": b"x", "c": b"y"}))
    package = StoredPackage("0" * 64, path.stat().st_size, path, no_check)
    given = []
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: given.append(Path(path)))
    opened = "/proc/self/fd/{}".format
    monkeypatch.setattr(os, "fchown", lambda fd, *_: given.append(Path(opened(fd)).readlink()))
    unpack(package, tmp_path / "work", 65534)
    work = tmp_path / "work"
    assert sorted(given) == [work, work / "a", work / "a/b", work / "a/b/file", work / "c"]
    assert given[-1] == tmp_path / "work"
    for number, path in enumerate(given):
        assert not set(path.parents) & set(given[:number])


async def test_the_key_of_secrets_is_not_in_an_installation(bench, monkeypatch):
    monkeypatch.setenv("CI_SECRET_KEY", "precious")
    files = {
        "requirements.txt": b"./dist\n",
        "dist/setup.py": b"import os; raise SystemExit(f'the key: {os.getenv(\"CI_SECRET_KEY\")}')",
    }
    log = MemoryLog()
    with pytest.raises(SetupFailedError):
        await bench.launch(bench.job("pass", package=zip_bytes(files)), log)
    assert b"the key: None" in bytes(log.content)


async def test_a_workload_of_the_first_version_is_understood(bench):
    job = bench.job("print('old')")
    await collect(await bench.launch(job))
    await bench.ended(job.job_id)
    path = bench.path / "data" / "workloads" / job.job_id / "request.json"
    request = json.loads(path.read_text())
    del request["attempt"], request["epoch"]
    path.write_text(json.dumps(request))
    assert (await bench.executor.inspect(job.job_id)).attempt == 1
    assert await collect(await bench.launch(job)) == b"old\n"
    await bench.ended(job.job_id)


@pytest.mark.parametrize(("made_in", "removed"), [(1, True), (3, False)])
async def test_tidy_removes_what_has_no_result_and_is_not_a_later_controllers(
    bench, made_in, removed
):
    state = bench.path / "data" / "workloads" / "some-job"
    state.mkdir()
    (state / "request.json").write_text(json.dumps({"epoch": made_in}))
    await bench.executor.tidy(2)
    assert state.exists(), "somebody may be about to start it"
    os.utime(state, (0, 0))
    await bench.executor.tidy(2)
    assert state.exists() is not removed
    await bench.executor.tidy(3)
    assert not state.exists()


async def test_tidy_takes_nothing_of_a_launch_that_begins_meanwhile(bench, monkeypatch):
    """After a crash in a launch, both begin at once: in the directories of the same job."""
    job = bench.job(WAIT_FOR_EVER)
    state = bench.path / "data" / "workloads" / job.job_id
    state.mkdir()
    (state / "request.json").write_text(json.dumps({"epoch": 1}))
    os.utime(state, (0, 0))
    removing, launched = threading.Event(), threading.Event()
    remove = WorkloadDirectories.remove

    def slow_remove(directories):
        if not removing.is_set():
            removing.set()
            launched.wait(0.5)
        remove(directories)

    monkeypatch.setattr(WorkloadDirectories, "remove", slow_remove)
    tidying = asyncio.create_task(bench.executor.tidy(2))
    await until(removing.is_set, what="the removal of what the crash left")
    output = await bench.launch(job, epoch=2)
    launched.set()
    await tidying
    assert await read_line(output) == b"ready\n"
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING


# ------------------------------------------------------------------ removal


def test_a_tree_too_deep_for_python_is_removed(tmp_path):
    make = "import os\nos.mkdir('tree'); os.chdir('tree')\n" + (
        "for n in range(3000): os.mkdir('d'); os.chdir('d')"
    )
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_names_like_options_and_links_are_what_they_are(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    tree = tmp_path / "-rf"
    (tree / "--").mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "file").exists()


def test_what_is_not_there_is_removed_already(tmp_path):
    remove_tree(tmp_path / "nothing")


def test_directories_nobody_may_enter_are_removed(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may enter every directory")
    closed = tmp_path / "tree" / "a" / "b"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    closed.chmod(0)
    closed.parent.chmod(0)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("work_mb", [None, 100])
async def test_it_says_that_it_keeps_no_limits(bench, work_mb):
    await bench.set_up_anew(work_mb=work_mb)
    limits = {one.limit for one in await bench.executor.check()}
    assert {Limit.MEMORY, Limit.CPU, Limit.PIDS, Limit.NETWORK, Limit.ISOLATION} <= limits
    assert (Limit.WORK in limits) is (work_mb is not None), "only what was asked for"
