"""What keeps the output of a container, and what it withstands (see ci_init.c, kept_output)."""

import asyncio
import io
import tarfile
from pathlib import Path

import pytest

from ci_common.job import ResourceLimits
from ci_common.ports.workloads import OutputEnd, WorkloadState
from ci_controller.executors.docker.container import (
    LABEL_ATTEMPT,
    LABEL_EPOCH,
    LABEL_INSTANCE,
    LABEL_JOB,
    LABEL_LOG_BASE,
    LABEL_ROLE,
    ROLE_JOB,
)
from ci_controller.executors.docker.project_tar import files_tar
from support.executors import IMAGE, collect, drain, read_line, read_some
from support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)

NOISE = "import os; block = bytes(range(251)) * 400\nfor n in range({blocks}):\n  at = 0\n"
WRITE = NOISE + "  while at < len(block): at += os.write(1, block[at:])\n"
BLOCK = bytes(range(251)) * 400


async def test_the_engine_keeps_no_copy(bench, engine):
    job = bench.job("print('hello')")
    await collect(await bench.launch(job))
    facts = engine.api.inspect_container(bench.prefix + job.job_id)
    assert facts["HostConfig"]["LogConfig"]["Type"] == "none"
    assert facts["HostConfig"]["AutoRemove"] is False
    assert sorted(facts["HostConfig"]["CapAdd"]) == ["KILL", "SETGID", "SETUID"]


async def test_the_job_cannot_reach_what_keeps_its_output(bench):
    script = (
        "ls /.ci-runner 2>&1; cat /.ci-runner/config 2>&1; rm -rf /.ci-runner 2>&1; "
        "cat /proc/1/environ 2>&1; ls /proc/1/fd 2>&1; kill -9 1 2>&1; kill -STOP 1 2>&1; "
        "cat /proc/1/cmdline | tr '\\0' ' '; echo; echo still here"
    )
    finished = await bench.run("sh", "-c", script)
    lines = finished.output.decode().splitlines()
    refused = [line for line in lines if "denied" in line or "not permitted" in line]
    assert len(refused) >= 6, lines
    assert lines[-1] == "still here"
    assert finished.workload.exit_code == 0


@pytest.mark.parametrize("memory_mb", [16, 64])
async def test_much_output_under_a_memory_limit(bench, memory_mb):
    limits = ResourceLimits(timeout_seconds=60, memory_mb=memory_mb)
    finished = await bench.run(WRITE.format(blocks=400), limits=limits)
    assert finished.output == BLOCK * 400
    assert (finished.workload.exit_code, finished.workload.oom_killed) == (0, False)


async def test_a_job_that_is_killed_for_its_memory_keeps_its_output(bench):
    limits = ResourceLimits(timeout_seconds=60, memory_mb=32)
    source = WRITE.format(blocks=30) + "x = bytearray(1 << 30)"
    finished = await bench.run(source, limits=limits)
    assert finished.output == BLOCK * 30
    assert (finished.workload.exit_code, finished.workload.oom_killed) == (137, True)


def init_process(bench, engine, job):
    """The process of a running container. The engine does not answer any more while the container
    ends and its output is not read.
    """
    facts = engine.api.inspect_container(bench.prefix + job.job_id)
    return Path("/proc") / str(facts["State"]["Pid"])


async def end_of(process):
    await until(lambda: not process.exists(), what="the end of the init process")


async def test_a_reader_that_stops_reading_while_the_job_ends(bench, engine):
    """The engine gives up about two seconds after the exit; what it had is lost there."""
    job = bench.job(WRITE.format(blocks=200) + "os._exit(7)")
    output = await bench.launch(job)
    process = init_process(bench, engine, job)
    first = await asyncio.to_thread(output.read)
    await end_of(process)
    await asyncio.sleep(3)  # what is tried: the engine gives up after two
    assert first + await collect(output) == BLOCK * 200
    assert output.end == OutputEnd(len(BLOCK) * 200, exit_code=7)


async def test_a_reader_that_is_behind_while_the_job_ends(bench, engine):
    """It reads the spool, not what the engine has for it, and the engine would wait for that."""
    job = bench.job(WRITE.format(blocks=1000) + "os._exit(7)")
    (await bench.launch(job)).close()
    process = init_process(bench, engine, job)
    output = await bench.executor.reattach(job.job_id, 0)
    first = await read_some(output, 500 * len(BLOCK))
    await asyncio.to_thread(output.stored, len(first))
    await end_of(process)
    assert first + await collect(output) == BLOCK * 1000
    assert output.end == OutputEnd(len(BLOCK) * 1000, exit_code=7)


async def test_a_job_whose_reader_does_not_read_can_be_stopped(bench):
    """Docker cannot end a container while somebody is attached who does not read."""
    job = bench.job("import os\nwhile True: os.write(1, b'x' * 65536)")
    output = await bench.launch(job)
    await asyncio.to_thread(output.read)
    async with asyncio.timeout(30):
        await bench.executor.stop(job.job_id, 5)
        seen = await bench.ended(job.job_id)
    assert seen.exit_code == 143
    assert set(await collect(output)) == {ord("x")}
    assert output.end.lost == 0


async def test_an_older_reader_that_does_not_read_holds_nobody_up(bench):
    """A server that was stopped, and another one took over."""
    job = bench.job(WRITE.format(blocks=100) + "import time; time.sleep(60)")
    old = await bench.launch(job)
    new = bench.new_executor()
    try:
        output = await new.reattach(job.job_id, 0)
        content = b""
        async with asyncio.timeout(30):
            while len(content) < len(BLOCK) * 100:
                content += await asyncio.to_thread(output.read)
        assert content == BLOCK * 100
        output.close()
    finally:
        old.close()  # the engine cannot remove the container before
        await bench.executor.remove(job.job_id)
        await new.close()


async def test_what_keeps_the_output_is_killed(bench, engine):
    """From outside: the log has what there was, and it is told that there may have been more."""
    job = bench.job("print('said', flush=True)\nimport time; time.sleep(60)")
    output = await bench.launch(job)
    assert await read_line(output) == b"said\n"
    engine.api.kill(bench.prefix + job.job_id, "SIGKILL")
    assert await collect(output) == b""
    assert (output.end.size, output.end.lost) == (5, None)
    assert output.end.why
    again = await bench.executor.reattach(job.job_id, 2)
    assert await collect(again) == b"id\n"
    assert again.end == output.end


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.REGTYPE])
async def test_something_of_that_name_in_the_image(bench, engine, kind):
    """It is replaced, or becomes root's."""
    made = engine.api.create_container(IMAGE, ["true"])
    try:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(".ci-runner")
            entry.type, entry.uid, entry.linkname = kind, 1000, "/tmp"
            tar.addfile(entry)
        engine.api.put_archive(made["Id"], "/", archive.getvalue())
        image = engine.api.commit(made["Id"], conf={"Labels": {"test": bench.instance}})["Id"]
    finally:
        engine.api.remove_container(made["Id"])
    try:
        job = bench.job("print('ran')", image=image)
        assert await collect(await bench.launch(job)) == b"ran\n"
        await bench.executor.remove(job.job_id)
    finally:
        engine.api.remove_image(image, force=True)


# ------------------------------------------------------------------ containers made before


def legacy_container(bench, engine, job, source):
    """One as the version before made it, started."""
    host = engine.api.create_host_config(
        init=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        log_config={"type": "json-file", "config": {"max-size": "1000m", "max-file": "1"}},
    )
    labels = {
        LABEL_INSTANCE: bench.instance,
        LABEL_ROLE: ROLE_JOB,
        LABEL_JOB: job.job_id,
        LABEL_ATTEMPT: "1",
        LABEL_EPOCH: "1",
        LABEL_LOG_BASE: "0",
    }
    made = engine.api.create_container(
        IMAGE,
        entrypoint=["/bin/sh", "-c", 'exec 2>&1; exec "$@"', "sh"],
        command=["python", "-c", source],
        name=bench.prefix + job.job_id,
        user="1000:1000",
        working_dir="/workspace",
        labels=labels,
        host_config=host,
    )
    engine.api.put_archive(made["Id"], "/", b"".join(files_tar({})))
    engine.api.start(made["Id"])


LEGACY = (
    "for n in range(300): print('line', n, flush=True)\nimport time; time.sleep(1)\nprint('end')"
)
LEGACY_OUTPUT = b"".join(b"line %d\n" % number for number in range(300)) + b"end\n"


@pytest.mark.parametrize("skip", [0, 1000])
async def test_a_job_of_the_version_before_is_followed_to_its_end(bench, engine, skip):
    job = bench.job("pass")
    legacy_container(bench, engine, job, LEGACY)
    output = await bench.executor.reattach(job.job_id, skip)
    assert await collect(output) == LEGACY_OUTPUT[skip:]
    assert output.end == OutputEnd(len(LEGACY_OUTPUT))
    assert (await bench.ended(job.job_id)).exit_code == 0
    await bench.executor.remove(job.job_id)


async def test_damage_of_the_engines_copy_is_told(bench, engine):
    job = bench.job("pass")
    legacy_container(bench, engine, job, "import os; os.write(1, b'caf\\xe9\\n')")
    output = await bench.executor.reattach(job.job_id, 0)
    assert (await collect(output)).startswith(b"caf")
    assert output.end.lost is None
    assert "earlier version" in output.end.why
    await bench.executor.remove(job.job_id)


async def test_a_job_of_the_version_before_is_stopped(bench, engine):
    job = bench.job("pass")
    legacy_container(bench, engine, job, "import time; print('x', flush=True); time.sleep(60)")
    output = await bench.executor.reattach(job.job_id, 0)
    assert await read_line(output) == b"x\n"
    await bench.executor.stop(job.job_id, 1)
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.EXITED
    await drain(output)
    await bench.executor.remove(job.job_id)
