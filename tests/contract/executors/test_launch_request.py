"""What every executor makes of a launch request (port Executor), the fake of the tests included."""

from dataclasses import replace

import pytest

from ci_common.errors import LeaseLostError, PackageCorruptError, WorkloadLostError
from ci_common.job import Network
from ci_common.ports.launch_request import ProbeRequest
from ci_common.ports.workloads import WorkloadState
from ci_common.secret import Secret
from support.archives import zip_bytes
from support.executors import MemoryLog, collect, drain

pytestmark = pytest.mark.anyio
EXECUTORS = ("fake", "process", "docker")


async def run(bench, request):
    """Launch it and read its output to the end."""
    output = await bench.executor.launch(request, MemoryLog())
    return await collect(output), await bench.ended(request.job_id)


# ------------------------------------------------------------------ packages


async def test_a_package_is_opened_as_often_as_needed(bench):
    request = bench.request(bench.job(*bench.plays(b"ran")))
    for epoch in (1, 2):
        assert (await run(bench, replace(request, epoch=epoch)))[0] == b"ran"


@pytest.mark.parametrize("damage", ["another date", "truncated", "another zip"])
async def test_a_package_with_another_digest_is_not_run(bench, damage):
    job = bench.job(*bench.plays())
    path = bench.package_path(job)
    content = path.read_bytes()
    damaged = {
        "another date": content[:10] + b"\x42" + content[11:],
        "truncated": content[:-1],
        "another zip": zip_bytes({"file.txt": b"of somebody else"}),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(PackageCorruptError):
        await bench.launch(job)
    assert list(await bench.executor.list_workloads()) == []


async def test_a_package_that_is_gone(bench):
    job = bench.job(*bench.plays())
    bench.package_path(job).unlink()
    with pytest.raises(PackageCorruptError, match="gone"):
        await bench.launch(job)
    assert list(await bench.executor.list_workloads()) == []


async def test_a_corrupt_package_replaces_nothing(bench):
    job = bench.job(*bench.waits())
    output = await bench.launch(job)
    bench.package_path(job).write_bytes(b"no zip")
    with pytest.raises(PackageCorruptError):
        await bench.launch(job, epoch=2)
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    await bench.executor.remove(job.job_id)
    await drain(output)


# ------------------------------------------------------------------ without a package


async def test_without_a_package_the_command_runs(bench):
    request = replace(bench.request(bench.job(*bench.plays(b"ran", code=3))), package=None)
    output, workload = await run(bench, request)
    assert (output, workload.exit_code) == (b"ran", 3)


async def test_without_a_package_there_are_only_the_files_that_the_command_leaves(bench):
    """So the workspace was empty, and the command may write there."""
    request = replace(bench.request(bench.job(*bench.plays(file="left"))), package=None)
    assert (await run(bench, request))[1].exit_code == 0
    files = await bench.executor.files(request.job_id, ".")
    try:
        assert [file.path for file in files] == ["left"]
    finally:
        files.close()


# ------------------------------------------------------------------ attempts and epochs


async def test_attempt_and_epoch_of_the_request_are_the_workloads(bench):
    request = replace(bench.request(bench.job(*bench.plays()), epoch=7), attempt=3)
    workload = (await run(bench, request))[1]
    assert (workload.job_id, workload.attempt, workload.epoch) == (request.job_id, 3, 7)


async def test_an_earlier_epoch_replaces_nothing(bench):
    request = bench.request(bench.job(*bench.waits()), epoch=5)
    output = await bench.executor.launch(request, MemoryLog())
    if bench.kind == "fake":
        bench.executor.several_processes = True
    with pytest.raises(LeaseLostError):
        await bench.executor.launch(replace(request, epoch=4), MemoryLog())
    (workload,) = await bench.executor.list_workloads()
    assert (workload.state, workload.epoch) == (WorkloadState.RUNNING, 5)
    await bench.executor.remove(request.job_id)
    await drain(output)
    with pytest.raises(WorkloadLostError):
        await collect(await bench.executor.reattach(request.job_id, 0))


async def test_the_description_of_a_request_shows_no_secret(bench):
    request = bench.request(bench.job(), secrets=[Secret("TOKEN", b"correct-horse")])
    assert "correct-horse" not in repr(request)


# ------------------------------------------------------------------ probes


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("network", list(Network))
async def test_a_probe_leaves_nothing(bench, network, isolated):
    await bench.executor.probe(ProbeRequest(1, network, isolated))
    assert bench.leftovers() == []
