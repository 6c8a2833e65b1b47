"""How the process executor keeps the output of a command (see supervisor)."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ci_common.errors import WorkloadLostError
from ci_common.ports.workloads import WorkloadState
from ci_controller.executors.process import executor, supervisor
from ci_controller.executors.process.state import is_process, remove_tree
from support.executors import Bench, collect, collect_storing, read_line, read_some
from support.waiting import until

pytestmark = pytest.mark.anyio
EXECUTORS = ("process",)

WAIT_FOR_EVER = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)"


# ------------------------------------------------------------------ output

FLOOD = "import os\nfor number in range(%d): os.write(1, b'%%07d\\n' %% number * 8192)"
BLOCK = 1 << 16


def flood(blocks):
    return b"".join(b"%07d\n" % number * 8192 for number in range(blocks))


def state_of(bench, job):
    return bench.path / "data" / "workloads" / job.job_id


def counter(bench, job, name):
    with (state_of(bench, job) / name).open("rb") as file:
        return supervisor.read_counter(file.fileno())


async def supervisor_of(bench, job):
    path = state_of(bench, job) / "supervisor.json"
    await until(path.exists)
    return json.loads(path.read_text())["pid"]


def group_of(bench, job):
    return json.loads((state_of(bench, job) / "started.json").read_text())["group"]


def segments(bench, job):
    return sorted(path.name for path in (state_of(bench, job) / "spool").iterdir())


async def waiting_for_room(bench, job, bound):
    """Until its spool has grown almost to the bound and grows no more."""

    def look():
        before, seen = seen_last[0], counter(bench, job, "written")
        seen_last[0] = seen
        return seen is not None and seen == before and bound - (2 << 20) < seen <= bound

    seen_last = [None]
    await until(look, what="a full spool")


async def test_only_the_pipe_is_for_the_commands_user(bench):
    job = bench.job("print('x')")
    await collect(await bench.launch(job))
    state = state_of(bench, job)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "pipe").stat().st_mode) == 0o666
    assert stat.S_ISFIFO((state / "pipe").stat().st_mode)


async def test_the_spool_is_bounded_and_shrinks_when_it_is_stored(bench):
    job = bench.job(FLOOD % 1300)
    output = await bench.launch(job)
    await waiting_for_room(bench, job, 64 << 20)
    assert len(segments(bench, job)) == supervisor.SEGMENTS
    content = await read_some(output, 40 << 20)
    output.stored(len(content))
    await until(lambda: segments(bench, job)[0], lambda first: first == "0010", "room")
    output.stored(1000)  # by whoever is behind: what is gone does not come back
    content += await collect(output)
    assert content == flood(1300)
    assert (output.end.size, output.end.lost) == (len(content), 0)


async def test_what_is_not_there_any_more_is_replaced_by_lines_as_long(bench):
    job = bench.job(FLOOD % 1300)  # more than is kept
    whole = await collect_storing(await bench.launch(job))
    assert whole == flood(1300)
    kept = int(segments(bench, job)[0]) * supervisor.SEGMENT_BYTES
    assert kept > 0
    output = await bench.executor.reattach(job.job_id, 100)
    content = await collect(output)
    assert len(content) == len(whole) - 100
    assert content[kept - 100 :] == whole[kept:]
    assert content.startswith(b"\n[... 4194204 bytes of output are missing here")
    assert (output.end.size, output.end.lost) == (len(whole), kept - 100)


async def test_a_supervisor_that_is_paused_makes_the_command_wait(bench):
    wait = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15])\n"
    wait += "print('ready', flush=True); signal.sigwait([15])\n"
    job = bench.job(wait + FLOOD % 100)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\n"
    number, group = await supervisor_of(bench, job), group_of(bench, job)
    os.kill(number, signal.SIGSTOP)
    try:
        os.kill(group, signal.SIGTERM)
        wchan = Path(f"/proc/{group}/wchan")
        await until(wchan.read_text, lambda seen: "pipe" in seen, "the command waiting")
        assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
        assert counter(bench, job, "written") == 6
        again = await bench.executor.reattach(job.job_id, 0)
        assert await read_line(again) == b"ready\n"
        again.close()
    finally:
        os.kill(number, signal.SIGCONT)
    assert await collect(output) == flood(100)
    assert output.end.exit_code == 0


async def test_a_supervisor_that_was_killed_leaves_the_output_and_no_result(bench):
    job = bench.job(WAIT_FOR_EVER)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\n"
    os.kill(await supervisor_of(bench, job), signal.SIGKILL)
    assert await collect(output) == b""
    assert (output.end.size, output.end.lost, output.end.exit_code) == (6, None, None)
    assert "was killed" in output.end.why
    assert await bench.executor.inspect(job.job_id) is None
    assert await collect(await bench.executor.reattach(job.job_id, 0)) == b"ready\n"
    started = json.loads((state_of(bench, job) / "started.json").read_text())
    assert is_process(started["group"], started["start"])
    await bench.executor.remove(job.job_id)
    await until(lambda: not is_process(started["group"], started["start"]))


async def test_a_workload_whose_supervisor_is_paused_is_removed(bench, monkeypatch):
    monkeypatch.setattr(executor, "_PATIENCE_SECONDS", 0.1)
    job = bench.job(WAIT_FOR_EVER)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\n"
    os.kill(await supervisor_of(bench, job), signal.SIGSTOP)
    await bench.executor.remove(job.job_id)
    assert bench.leftovers() == []
    output.close()


async def test_the_next_attempt_is_not_taken_for_the_one_before(bench):
    job = bench.job("print('first', flush=True)\n" + WAIT_FOR_EVER)
    old = await bench.launch(job)
    assert (await read_some(old, 12)) == b"first\nready\n"
    new = await bench.launch(job)
    with pytest.raises(WorkloadLostError):
        await asyncio.to_thread(old.read)
    old.stored(5)
    old.close()
    assert (await read_some(new, 12)) == b"first\nready\n"
    assert counter(bench, job, "stored") == 0
    new.close()


async def test_a_result_counts_after_a_power_cut_when_it_was_synced(bench):
    job = bench.job("print('x')")
    assert await collect(await bench.launch(job)) == b"x\n"
    await until(lambda: counter(bench, job, "synced") == 1, what="the sync")
    path = state_of(bench, job) / "ended.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert (await bench.executor.inspect(job.job_id)).exit_code == 0
    (state_of(bench, job) / "synced").write_bytes(b"")
    # Its supervisor may still be there for a moment.
    await until(lambda: bench.executor.inspect(job.job_id), lambda seen: seen is None)
    path.write_bytes(b"")
    assert await bench.executor.inspect(job.job_id) is None
    assert list(await bench.executor.list_workloads()) == []


# What the version before had in the place of the supervisor, as far as others see it.
PLAIN = """
import json, os, sys, time
sys.path.insert(0, sys.argv[2])
from ci_controller.executors.process.supervisor import now, start_time, write_json
from pathlib import Path
from tempfile import TemporaryDirectory
state = Path(sys.argv[1])
write_json(state / "supervisor.json", {"pid": os.getpid(), "start": start_time(os.getpid())})
write_json(state / "started.json", {"group": None, "start": "", "at": now()})
with (state / "output").open("ab", buffering=0) as output:
    output.write(b"before\\n")
    while not (state / "go").exists():
        time.sleep(0.01)
    output.write(b"after, no end of line")
if (state / "go").read_text() == "end":
    write_json(state / "ended.json", {"exit_code": 4, "at": now()})
"""


@pytest.mark.parametrize("ending", ["end", "die"])
async def test_a_workload_of_the_version_before_is_followed_to_its_end(bench, ending):
    job = bench.job("pass")
    state = state_of(bench, job)
    state.mkdir()
    (state / "output").touch()
    (state / "request.json").write_text(json.dumps({"log_base": 3, "attempt": 1, "epoch": 1}))
    root = executor.__file__.rpartition("/ci_controller/")[0]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PLAIN, state, root)
    await until((state / "supervisor.json").exists)
    output = await bench.executor.reattach(job.job_id, 2)
    assert await read_line(output) == b"fore\n"
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    output.stored(7)
    (state / "go.part").write_text(ending)
    (state / "go.part").rename(state / "go")
    assert await collect(output) == b"after, no end of line"
    await process.wait()
    found = (output.end.size, output.end.lost, output.end.exit_code)
    assert found == ((28, 0, 4) if ending == "end" else (28, None, None))


def test_processes_where_there_is_no_proc():
    state, start = supervisor.facts_from_ps(os.getpid())
    assert state in "RSD"
    assert len(start.split()) == 5
    with subprocess.Popen(["true"]) as ended:
        with pytest.raises(ChildProcessError):
            os.waitpid(os.getpid(), 0)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert supervisor.facts_from_ps(ended.pid)[0] == "Z"
    with pytest.raises(ProcessLookupError):
        supervisor.facts_from_ps(ended.pid)


# ------------------------------------------------------------------ a full disk


@contextmanager
def small_disk(size):
    """A file system of so many bytes; skips the test where that is impossible."""
    # Not in pytest's directories, which another run may delete: mounted, that is harmful.
    with TemporaryDirectory(prefix="ci-disk-") as directory:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory]
        if subprocess.run(mount).returncode != 0:
            pytest.skip("mounts need root")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture
async def full():
    """A bench whose disk has room for 16 MiB of output, and a file that can be removed."""
    with small_disk(40 << 20) as disk:
        bench = Bench(disk, "process")
        (disk / "ballast").write_bytes(bytes(22 << 20))
        yield bench
        await bench.close()
        assert bench.leftovers() == []
        remove_tree(bench.works)


def free(bench):
    facts = os.statvfs(bench.path)
    return facts.f_bavail * facts.f_frsize


async def full_disk(bench):
    await until(lambda: free(bench), lambda room: room < supervisor.SEGMENT_BYTES, "a full disk")


def fill_up(path):
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_while_the_disk_is_full_the_command_waits(full):
    job = full.job(FLOOD % 400)
    output = await full.launch(job)
    await full_disk(full)
    assert (await full.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    seen = await read_some(output, 8 << 20)
    (full.path / "ballast").unlink()
    assert seen + await collect(output) == flood(400)
    assert (output.end.lost, output.end.exit_code) == (0, 0)


async def test_on_a_full_disk_a_command_ends_with_all_it_wrote(full):
    source = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FLOOD % 400
    job = full.job(source)
    output = await full.launch(job)
    await full_disk(full)
    await waiting_for_room(full, job, 16 << 20)
    fill_up(full.path / "rest")
    await full.executor.stop(job.job_id, 0.2)
    content = await collect(output)
    assert content == flood(400)[: len(content)]
    assert (output.end.size, output.end.lost, output.end.exit_code) == (len(content), 0, 137)


async def test_without_room_for_the_output_nothing_is_started(full):
    (full.path / "more").write_bytes(bytes(free(full) - (2 << 20)))
    job = full.job("print('x')")
    with pytest.raises(OSError, match="No space left"):
        await full.launch(job)
    assert full.leftovers() == []
