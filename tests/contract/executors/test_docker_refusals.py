"""What the real engine refuses, and whose fault the executor calls it; and an engine that fails."""

import io
import tarfile
import uuid
from dataclasses import replace

import docker
import pytest

from ci_common.errors import (
    EngineFailingError,
    EngineUnavailableError,
    ImageUnavailableError,
    JobError,
    LaunchFailedError,
)
from ci_common.job import Network, ResourceLimits
from ci_controller.executors.docker import container
from support import engine as engine_socket
from support.executors import WAIT_FOR_EVER, collect, read_line
from support.failing_engine import FailingEngine

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)

LIMITS = ResourceLimits(timeout_seconds=60, network=Network.NONE)
BRIDGE_GONE = "failed to create endpoint: could not find bridge docker0: no such network interface"


@pytest.fixture
def make_image():
    """A function that makes an image of nothing but these files."""
    client, made = docker.APIClient(version="auto"), []

    def make(**files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name.replace("_", "/"))
                info.size, info.mode = len(content), 0o755
                archive.addfile(info, io.BytesIO(content))
        made.append(f"ci-runner-test-{uuid.uuid4().hex}:latest")
        client.import_image_from_data(buffer.getvalue(), made[-1].removesuffix(":latest"), "latest")
        return made[-1]

    yield make
    for image in made:
        client.remove_image(image, force=True)
    client.close()


async def refusal(bench, **options):
    """What the launch of such a job raises."""
    options.setdefault("limits", LIMITS)
    with pytest.raises(JobError) as raised:
        await bench.launch(bench.job("true", "", **options))
    assert bench.leftovers() == []
    return raised.value


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"memory_mb": 1}, "Minimum memory limit"),
        ({"pids": 1 << 40}, "pids.max"),
    ],
)
async def test_a_limit_that_the_engine_refuses(bench, limits, told):
    error = await refusal(bench, limits=replace(LIMITS, **limits))
    assert isinstance(error, LaunchFailedError)
    assert told in error.message


async def test_an_environment_that_the_engine_refuses(bench):
    for env, told in (({"A": "a\0b"}, "null"), ({"": "x"}, "invalid environment variable")):
        assert told in (await refusal(bench, env=env)).message


@pytest.mark.parametrize("image", ["Not A Reference", "x@sha256:12"])
async def test_an_image_that_cannot_be_had(bench, image):
    assert isinstance(await refusal(bench, image=image), ImageUnavailableError)


async def test_an_image_whose_workspace_is_a_file(bench, make_image):
    error = await refusal(bench, image=make_image(workspace=b"a file"))
    assert isinstance(error, LaunchFailedError)
    assert "/workspace is not a directory" in error.message


async def test_a_name_too_long_for_the_disk(bench):
    error = await refusal(bench, files={"x" * 300: b""})
    assert isinstance(error, LaunchFailedError)


@pytest.mark.parametrize(
    ("files", "code"), [({}, 127), ({"bin_sh": b"not a program"}, 126)], ids=["none", "broken"]
)
async def test_an_image_without_a_shell_is_no_refusal(bench, make_image, files, code):
    """The container is started, and says itself why nothing comes of it."""
    finished = await bench.run("true", "", image=make_image(**files), limits=LIMITS)
    assert finished.workload.exit_code == code
    assert b"/bin/sh" in finished.output


async def test_a_command_that_is_not_there_is_no_refusal(bench):
    finished = await bench.run("no-such-command", "", limits=LIMITS)
    assert finished.workload.exit_code == 127
    assert b"not found" in finished.output


# ------------------------------------------------------------------ an engine that fails


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """In the way between the bench, which is made after it, and the engine."""
    target = engine_socket.socket_path()
    if target is None:
        pytest.skip("the engine is not at a unix socket")
    engine = FailingEngine(tmp_path / "engine.sock", target)
    engine.restore()
    monkeypatch.setenv("DOCKER_HOST", engine.docker_host)
    yield engine
    engine.cut()


LAUNCH = [
    ("GET", "/images/[^/]+/json"),
    ("GET", "/containers/[^/]+/json"),
    ("POST", "/containers/create"),
    ("PUT", "/containers/[^/]+/archive"),
    ("POST", "/containers/[^/]+/attach"),
    ("POST", "/containers/[^/]+/start"),
]


@pytest.mark.parametrize("message", [BRIDGE_GONE, None], ids=["500", "dropped"])
@pytest.mark.parametrize(("method", "path"), LAUNCH)
async def test_a_launch_that_may_be_repeated(engine, bench, method, path, message):
    job = bench.job("print('ran')", limits=LIMITS)
    engine.fail(method, path, 1, message)
    with pytest.raises(EngineUnavailableError) as raised:
        await bench.launch(job)
    assert len(engine.failed) == 1
    if message and method != "PUT":  # the engine's answer comes before it has taken the project
        assert isinstance(raised.value, EngineFailingError)
        assert message in raised.value.message
    assert bench.leftovers() == []
    assert await collect(await bench.launch(job)) == b"ran\n"


@pytest.mark.parametrize("message", ["internal trouble", None], ids=["500", "dropped"])
async def test_what_comes_after_a_launch_may_be_repeated(engine, bench, message):
    expected = EngineFailingError if message else EngineUnavailableError
    job = bench.job(WAIT_FOR_EVER, limits=LIMITS)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\n"
    executor, job_id = bench.executor, job.job_id
    calls = [
        ("GET", "/containers/json", executor.list_workloads),
        ("GET", "/containers/[^/]+/json", lambda: executor.inspect(job_id)),
        ("POST", "/containers/[^/]+/kill", lambda: executor.stop(job_id, 1)),
        ("GET", "/containers/[^/]+/json", lambda: executor.reattach(job_id, 0)),
        ("GET", "/containers/[^/]+/archive", lambda: executor.files(job_id, ".")),
        ("DELETE", "/containers/[^/]+", lambda: executor.remove(job_id)),
    ]
    for method, path, call in calls:
        engine.fail(method, path, 1, message)
        with pytest.raises(expected):
            await call()
        result = await call()
        if hasattr(result, "close"):
            result.close()
    assert len(engine.failed) == len(calls)
    output.close()


async def test_a_job_runs_without_a_kernel_parameter_that_the_engine_refuses(bench, monkeypatch):
    refused = {"net.ipv6.conf.no-such.disable_ipv6": "0"}
    monkeypatch.setattr(container, "LOOPBACK_IPV6", refused)
    for _ in range(2):
        job = bench.job("print('runs')", limits=LIMITS)
        assert await collect(await bench.launch(job)) == b"runs\n"
        await bench.ended(job.job_id)
