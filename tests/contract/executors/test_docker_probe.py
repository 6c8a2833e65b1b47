"""The container that tells an engine's fault from a job's, and what the engine has against it."""

import pytest

from ci_common.errors import EngineDisturbedError, EngineUnavailableError, LaunchFailedError
from ci_common.job import Network, ResourceLimits
from ci_controller.executors.docker.container import (
    LABEL_EPOCH,
    LABEL_INSTANCE,
    LABEL_ROLE,
    ROLE_PROBE,
)
from ci_controller.running.launch_request import probe_request
from support import engine as engine_socket
from support.engine_option import runner_image
from support.executors import collect
from support.failing_engine import FailingEngine

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)

NO_NETWORK = ResourceLimits(timeout_seconds=60, network=Network.NONE)
MISSING = "ci-runner-test-no-such-image:latest"


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """In the way between the bench, which is made after it, and the engine."""
    target = engine_socket.socket_path()
    if target is None:
        pytest.skip("the engine is not at a unix socket")
    proxy = FailingEngine(tmp_path / "engine.sock", target)
    proxy.restore()
    monkeypatch.setenv("DOCKER_HOST", proxy.docker_host)
    yield proxy
    proxy.cut()


@pytest.mark.parametrize("network", list(Network))
async def test_an_engine_that_works_passes_and_keeps_nothing(bench, network):
    limits = ResourceLimits(network=network)
    await bench.executor.probe(probe_request(bench.job("pass", limits=limits), 1))
    assert bench.leftovers() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/create"),
        ("PUT", "/containers/[^/]+/archive"),
        ("POST", "/containers/[^/]+/start"),
    ],
)
async def test_an_engine_that_refuses_it(failing, bench, method, path):
    job = bench.job("pass", limits=NO_NETWORK)
    failing.fail(method, path, 1, "could not find bridge docker0")
    with pytest.raises(EngineUnavailableError) as raised:
        await bench.executor.probe(probe_request(job, 1))
    if method != "PUT":  # the engine's answer comes before it has taken what is put
        assert isinstance(raised.value, EngineDisturbedError)
        assert "could not find bridge docker0" in raised.value.message
    await bench.executor.probe(probe_request(job, 1))
    assert bench.leftovers() == []


async def test_the_network_of_the_job_and_that_of_its_requirements_are_tried(failing, bench):
    """One after the other, so the second one is refused."""
    await bench.set_up_anew(network=None)
    of_this_machine = bench.job("pass", tenant="local", user="local")
    await collect(await bench.launch(bench.job("pass", tenant="acme")))  # makes the other network
    failing.fail("POST", "/containers/[^/]+/start", 1, "the first")
    failing.fail("POST", "/containers/[^/]+/start", 1, "the second")
    with pytest.raises(EngineDisturbedError, match="the first"):
        await bench.executor.probe(probe_request(of_this_machine, 1))
    with pytest.raises(EngineDisturbedError, match="the second"):
        await bench.executor.probe(probe_request(of_this_machine, 1))
    await bench.executor.probe(probe_request(of_this_machine, 1))
    starts = [path for method, path in failing.failed if method == "POST"]
    assert len(starts) == 2


async def test_a_runtime_that_is_not_there_is_told_at_once_with_what_to_do(bench):
    await bench.set_up_anew(runtime="no-such-runtime")
    job = bench.job("pass")
    for attempt in (bench.executor.probe(probe_request(job, 1)), bench.launch(job)):
        with pytest.raises(LaunchFailedError, match="no-such-runtime") as raised:
            await attempt
        assert "CI_DOCKER_RUNTIME" in raised.value.message
        assert "daemon.json" in raised.value.message
    assert bench.leftovers() == []


async def test_without_the_servers_image_one_that_has_been_started_is_tried(failing, bench):
    bench.executor._probe._options = replace_image(bench.executor._probe._options)
    job = bench.job("pass", limits=NO_NETWORK)
    failing.fail("POST", "/containers/create", 1, "no")
    await bench.executor.probe(probe_request(job, 1))  # nothing is known to start
    assert failing.failed == []
    with pytest.raises(EngineUnavailableError):
        await bench.launch(job)
    await collect(await bench.launch(job))
    failing.fail("POST", "/containers/create", 1, "no")
    with pytest.raises(EngineDisturbedError):
        await bench.executor.probe(probe_request(job, 1))


def replace_image(options):
    return type(options)(options.instance_id, options.container_prefix, MISSING, options.runtime)


@pytest.mark.parametrize(("epoch", "is_left"), [(1, False), (2, False), (3, True)])
async def test_what_a_killed_controller_left_is_removed(bench, engine, epoch, is_left):
    labels = {LABEL_INSTANCE: bench.instance, LABEL_ROLE: ROLE_PROBE, LABEL_EPOCH: str(epoch)}
    left = engine.containers.create(runner_image(), "true", labels=labels)
    assert [one.id for one in await bench.executor.leftovers(0)] == [left.id]
    await bench.executor.tidy(2)
    assert (len(bench.leftovers()) == 1) is is_left
    left.remove() if is_left else None
