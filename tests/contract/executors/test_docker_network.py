"""Jobs do not reach each other, and are run by the runtime that the operator chose."""

import asyncio
import contextlib

import pytest
from docker.errors import NotFound

from ci_common.errors import LaunchFailedError
from ci_common.job import Network, ResourceLimits
from ci_controller.executors.docker.network import JOB_NETWORK
from support.executors import collect, drain, read_line

pytestmark = [pytest.mark.anyio, pytest.mark.docker]

EXECUTORS = ("docker",)

LISTEN = """
import socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.connect(("192.0.2.1", 9))
listener = socket.create_server(("", 9000))
print(here.getsockname()[0], flush=True)
while True:
    listener.accept()[0].close()
"""

REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9000), timeout=2).close()
except OSError:
    print("out of reach")
else:
    print("reached")
"""


@pytest.fixture
def network_of_its_own(bench, engine):
    """A name of a network that is not there, and is not afterwards."""
    name = f"test-{bench.instance[:8]}"
    yield name
    with contextlib.suppress(NotFound):
        engine.api.remove_network(name)


async def reach_another(bench):
    """What a job says that tries to reach another one."""
    listening = bench.job(LISTEN)
    output = await bench.launch(listening)
    address = (await read_line(output)).decode().strip()
    reaching = bench.job("python", "-c", REACH, address)
    said = await collect(await bench.launch(reaching))
    await bench.executor.remove(listening.job_id)
    await drain(output)
    await bench.executor.remove(reaching.job_id)
    return said


async def test_jobs_cannot_reach_each_other(bench):
    assert await reach_another(bench) == b"out of reach\n"


async def test_on_the_engines_own_network_they_can(bench):
    """The operator's choice; and the test above can fail."""
    await bench.set_up_anew(network="bridge")
    assert await reach_another(bench) == b"reached\n"


async def test_a_network_is_made_when_it_is_missing(bench, engine, network_of_its_own):
    await bench.set_up_anew(network=network_of_its_own)
    assert await reach_another(bench) == b"out of reach\n"
    engine.api.remove_network(network_of_its_own)
    with contextlib.suppress(Exception):  # the launch that notices may fail, and be tried again
        await bench.run("print('noticed')")
    assert (await bench.run("print('made again')")).output == b"made again\n"


async def test_several_that_miss_it_at_once(bench, engine, network_of_its_own):
    executors = [bench.new_executor(network=network_of_its_own) for _ in range(4)]
    clients = [engine.api for _ in executors]
    calls = (
        asyncio.to_thread(executor._network.ensure, client)
        for executor, client in zip(executors, clients, strict=True)
    )
    assert set(await asyncio.gather(*calls)) == {network_of_its_own}
    assert len(engine.api.networks(names=[network_of_its_own])) == 1
    for executor in executors:
        await executor.close()


async def test_no_network_is_no_network(bench):
    limits = ResourceLimits(timeout_seconds=60, network=Network.NONE)
    finished = await bench.run(
        "import os; print(sorted(os.listdir('/sys/class/net')))", limits=limits
    )
    assert b"eth0" not in finished.output


async def test_what_the_job_is_on_and_run_by(bench, engine):
    await bench.set_up_anew(runtime="runc")
    job = bench.job("print('ran')")
    output = await bench.launch(job)
    facts = engine.api.inspect_container(f"{bench.prefix}{job.job_id}")
    assert await collect(output) == b"ran\n"
    assert facts["HostConfig"]["Runtime"] == "runc"
    assert list(facts["NetworkSettings"]["Networks"]) == [JOB_NETWORK]
    await bench.executor.remove(job.job_id)


@pytest.mark.parametrize(
    ("tenant", "user", "network"),
    [("local", "local", "bridge"), ("local", "ann", JOB_NETWORK), ("acme", "local", JOB_NETWORK)],
)
async def test_unless_the_operator_says_jobs_of_users_are_isolated(
    bench, engine, tenant, user, network
):
    await bench.set_up_anew(network=None)
    job = bench.job("print('ran')", tenant=tenant, user=user)
    output = await bench.launch(job)
    facts = engine.api.inspect_container(f"{bench.prefix}{job.job_id}")
    assert await collect(output) == b"ran\n"
    assert list(facts["NetworkSettings"]["Networks"]) == [network]
    await bench.executor.remove(job.job_id)


async def test_a_runtime_that_is_not_there_is_named(bench):
    await bench.set_up_anew(runtime="no-such-runtime")
    with pytest.raises(LaunchFailedError, match="no-such-runtime"):
        await bench.launch(bench.job("print(1)"))
