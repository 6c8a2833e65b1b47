"""How the Docker executor bounds and labels containers, and whose it replaces."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, NotFound

from ci_common.errors import EngineFailingError, LaunchFailedError
from ci_common.job import ResourceLimits
from ci_common.ports.workloads import WorkloadState
from ci_controller.executors.docker import container, executor, storage
from support.executors import IMAGE, MemoryLog, collect, read_line, running

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)


def limits(**bounds):
    return ResourceLimits(timeout_seconds=60, **bounds)


async def facts_of(bench, engine, job):
    """The engine's description of the job's container, which has ended."""
    output = await collect(await bench.launch(job))
    return engine.api.inspect_container(bench.prefix + job.job_id), output.decode()


READ_CGROUP = """
import pathlib
for name in ("blkio/blkio.throttle.%s_bps_device", "io.max"):
    for kind in ("read", "write"):
        path = pathlib.Path("/sys/fs/cgroup", name % kind if "%" in name else name)
        if path.exists(): print(path.name, path.read_text().strip())
"""


async def test_block_io_is_bounded_both_ways(bench, engine):
    job = bench.job(READ_CGROUP, limits=limits(block_io_bytes=2 << 20))
    facts, output = await facts_of(bench, engine, job)
    disk = storage.whole_disk(Path(engine.info()["DockerRootDir"]))
    expected = [{"Path": disk, "Rate": 2 << 20}]
    assert facts["HostConfig"]["BlkioDeviceReadBps"] == expected
    assert facts["HostConfig"]["BlkioDeviceWriteBps"] == expected
    lines = output.splitlines()
    assert len(lines) == 2, "the kernel was told, too"
    assert all(str(2 << 20) in line for line in lines)


async def test_block_io_that_cannot_be_bounded_is_refused_and_not_ignored(bench, monkeypatch):
    monkeypatch.setattr(storage, "whole_disk", lambda path: None)
    with pytest.raises(LaunchFailedError, match="block_io"):
        await bench.launch(bench.job("pass", limits=limits(block_io_bytes=2 << 20)))
    assert bench.leftovers() == []


async def test_shared_memory(bench):
    source = "import os; s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize >> 20)"
    assert (await bench.run(source, limits=limits(shm_mb=33))).output == b"33\n"


async def test_processes(bench):
    source = (
        "import os, signal\n"
        "children = []\n"
        "try:\n"
        "    for n in range(100):\n"
        "        pid = os.fork()\n"
        "        if not pid: signal.pause()\n"
        "        children.append(pid)\n"
        "except BlockingIOError: print('refused', len(children) < 20)\n"
        "for pid in children: os.kill(pid, 9)\n"
    )
    assert (await bench.run(source, limits=limits(pids=20))).output == b"refused True\n"


@pytest.mark.parametrize("percent", [50, 150, 100_000])
async def test_cpu(bench, engine, percent):
    """Also more than the machine has: a job's table is for every machine."""
    facts, _ = await facts_of(bench, engine, bench.job("pass", limits=limits(cpu_percent=percent)))
    host = facts["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == percent / 100


async def test_without_limits_nothing_is_bounded_but_processes(bench, engine):
    facts, _ = await facts_of(bench, engine, bench.job("pass"))
    host = facts["HostConfig"]
    assert host["Memory"] == host["CpuQuota"] == 0
    assert not host["BlkioDeviceReadBps"]
    assert not host["BlkioDeviceWriteBps"]
    assert host["PidsLimit"] == 4096
    assert not host.get("StorageOpt")
    assert not host["Binds"]
    assert host["Init"] is False, "it has one of its own"
    assert host["CapDrop"] == ["ALL"]


async def test_work_mb_where_the_engine_cannot_bound_it(bench, engine, caplog):
    if not storage.why_unbounded(engine.info()):
        pytest.skip("this engine can bound the size of a container, so there is no warning to see")
    bounded = bench.new_executor(work_mb=100)
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                job = bench.job("print('ran')")
                output = await bounded.launch(bench.request(job), MemoryLog())
                assert await collect(output) == b"ran\n"
    finally:
        await bounded.close()
    (warning,) = [text for text in caplog.messages if "CI_MAX_WORK_MB" in text]
    assert engine.info()["Driver"] in warning
    facts = engine.api.inspect_container(bench.prefix + job.job_id)
    assert not facts["HostConfig"].get("StorageOpt")


# ------------------------------------------------------------------ labels, whose it is


async def test_labels_tell_attempt_and_epoch(bench, engine):
    job = replace(bench.job("pass"), attempt=3)
    await collect(await bench.launch(job, epoch=7))
    labels = engine.api.inspect_container(bench.prefix + job.job_id)["Config"]["Labels"]
    assert labels[container.LABEL_ATTEMPT] == "3"
    assert labels[container.LABEL_EPOCH] == "7"
    assert labels[container.LABEL_JOB] == job.job_id
    assert labels[container.LABEL_INSTANCE] == bench.instance


def container_of(bench, engine, job, epoch):
    """What another controller makes."""
    return engine.containers.create(
        IMAGE,
        "true",
        name=bench.prefix + job.job_id,
        labels={
            container.LABEL_INSTANCE: bench.instance,
            container.LABEL_ROLE: container.ROLE_JOB,
            container.LABEL_JOB: job.job_id,
            container.LABEL_LOG_BASE: "0",
            container.LABEL_EPOCH: str(epoch),
        },
    )


async def test_a_container_of_the_first_version_is_understood(bench, engine):
    job = bench.job("print('new')")
    old = container_of(bench, engine, job, 0)
    (listed,) = await bench.executor.list_workloads()
    assert listed.attempt == (await bench.executor.inspect(job.job_id)).attempt == 1
    assert await collect(await bench.launch(job)) == b"new\n"
    with pytest.raises(NotFound):
        old.reload()


async def test_what_a_later_controller_makes_meanwhile_is_not_removed(bench, engine, monkeypatch):
    """Between the look at the leftover and its removal."""
    job = bench.job("pass")
    former = container_of(bench, engine, job, 1)
    remove, made = executor.remove_container, []

    def taken_over(client, name):
        if not made:
            former.remove()
            made.append(container_of(bench, engine, job, 3))
        remove(client, name)

    monkeypatch.setattr(executor, "remove_container", taken_over)
    with pytest.raises(EngineFailingError):  # tried again, it sees whose the name is
        await bench.launch(job, epoch=2)
    assert engine.containers.get(bench.prefix + job.job_id).id == made[0].id


async def test_a_container_of_another_prefix_is_this_instances_all_the_same(bench):
    async with running(bench) as (job, _):
        bench.prefix += "other-"
        later = bench.new_executor()
        try:
            assert (await later.inspect(job.job_id)).state is WorkloadState.RUNNING
            await later.stop(job.job_id, 0)
            assert (await later.inspect(job.job_id)).state is WorkloadState.EXITED
            assert await collect(await later.reattach(job.job_id, 0)) == b"ready\n"
            await later.remove(job.job_id)
            assert bench.leftovers() == []
        finally:
            await later.close()


# ------------------------------------------------------------------ stop, failures of the engine


async def test_a_grace_of_less_than_a_second(bench):
    source = (
        "import signal, time\n"
        "def end(*_): print('end', time.monotonic(), flush=True)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    time.sleep(0.01)\n"
        "    print('tick', time.monotonic(), flush=True)"
    )
    graces = []
    while not graces or (min(graces) >= 0.9 and len(graces) < 5):  # a busy engine kills late
        job = bench.job(source)
        output = await bench.launch(job)
        assert await read_line(output) == b"ready\n"
        await bench.executor.stop(job.job_id, 0.1)
        lines = (await collect(output)).split()
        asked, last = float(lines[lines.index(b"end") + 1]), float(lines[-1])
        graces.append(last - asked)
        assert (await bench.ended(job.job_id)).exit_code == 137
        await bench.executor.remove(job.job_id)
    assert 0.05 < min(graces) < 0.9, graces


async def test_an_engine_that_fails_counts_as_down(bench):
    """So it is while it shuts down: jobs must wait, and not fail."""

    def fail(client):
        response = requests.Response()
        response.status_code = 500
        raise APIError("shutting down", response=response)

    with pytest.raises(EngineFailingError):
        await bench.executor._engine.look(fail)
