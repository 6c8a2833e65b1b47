"""What the Docker executor promises beyond the port: limits, isolation, requirement layers."""

import asyncio
import gc
import socket
import threading
import warnings

import pytest

from ci_common.errors import (
    EngineUnavailableError,
    ImageUnavailableError,
    LaunchFailedError,
    SetupFailedError,
)
from ci_common.job import Network, ResourceLimits
from ci_controller.executors.docker.container import (
    LABEL_EPOCH,
    LABEL_INSTANCE,
    LABEL_ROLE,
    ROLE_SETUP,
)
from support.archives import zip_bytes
from support.executors import Bench, MemoryLog, remove_of_instance
from support.fake_registry import NOT_FOUND, fake_registry
from support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)


# ------------------------------------------------------------------ limits and isolation


async def test_memory_limit(bench):
    limits = ResourceLimits(timeout_seconds=60, memory_mb=32)
    finished = await bench.run("x = bytearray(1 << 30)\nprint('survived')", limits=limits)
    assert finished.workload.oom_killed
    assert finished.workload.exit_code == 137
    assert b"survived" not in finished.output


async def test_pids_limit(bench):
    source = (
        "import threading, time\n"
        "try:\n"
        "  for n in range(100):\n"
        "    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n"
        "except RuntimeError: print('refused', n < 30)\n"
    )
    limits = ResourceLimits(timeout_seconds=60, pids=20)
    assert (await bench.run(source, limits=limits)).output == b"refused True\n"


async def test_no_network(bench):
    source = "import os; print(sorted(os.listdir('/sys/class/net')))"
    limits = ResourceLimits(timeout_seconds=60, network=Network.NONE)
    assert (await bench.run(source, limits=limits)).output == b"['lo']\n"
    assert b"eth0" in (await bench.run(source)).output


async def test_no_capabilities_and_no_new_privileges(bench):
    finished = await bench.run("cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in finished.output.decode().splitlines())
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(facts[kind], 16) == 0, kind
    # What its init process has; no program can give it to the command (see docs/security.md).
    assert int(facts["CapBnd"], 16) == 1 << 5 | 1 << 6 | 1 << 7, "KILL, SETGID, SETUID"
    assert facts["NoNewPrivs"] == "1"
    assert facts["Uid"].split() == facts["Gid"].split() == ["1000"] * 4
    assert facts["Groups"].split() == []
    assert facts["Seccomp"] == "2"


async def test_an_init_process_reaps_zombies(bench):
    source = (
        "import os, subprocess, sys, time\n"
        "print(open('/proc/1/comm').read().strip(), os.getpid() != 1)\n"
        # A grandchild whose parent is gone belongs to the init process.
        "child = 'import os, sys; pid = os.fork(); print(pid) if pid else None'\n"
        "pid = subprocess.run([sys.executable, '-c', child], capture_output=True, text=True)\n"
        "path = '/proc/' + pid.stdout.strip()\n"
        "deadline = time.monotonic() + 10\n"
        "while os.path.exists(path) and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(os.path.exists(path))\n"
    )
    lines = (await bench.run(source)).output.decode().splitlines()
    assert "init" in lines[0]
    assert lines[0].endswith("True")
    assert lines[1] == "False"


# ------------------------------------------------------------------ images, refusals


@pytest.mark.parametrize("image", ["{}/no/such:tag", "Not A Reference", "{}/x@sha256:" + "0" * 64])
async def test_an_image_that_cannot_be_had(bench, image):
    with fake_registry(NOT_FOUND) as registry:
        job = bench.job("pass", image=image.format(registry))
        with pytest.raises(ImageUnavailableError, match="could not be pulled"):
            await bench.launch(job)


async def test_what_the_engine_refuses_is_told(bench):
    job = bench.job("pass", limits=ResourceLimits(timeout_seconds=60, memory_mb=1))
    with pytest.raises(LaunchFailedError, match="memory limit"):
        await bench.launch(job)
    assert bench.leftovers() == []


async def test_an_engine_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    executor = Bench(tmp_path, "docker").executor
    with warnings.catch_warnings():
        # The library does not close a socket that it could not connect.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(EngineUnavailableError, match="Is it running"):
            await executor.list_workloads()
        await executor.close()
        await asyncio.to_thread(executor._engine._threads.shutdown)
        gc.collect()


async def test_an_engine_that_hangs_does_not_hold_up_a_look_at_it(tmp_path, monkeypatch):
    """The controller gives up after a while, and must keep its lease meanwhile."""
    silent = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
    executor = Bench(tmp_path, "docker").executor
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        for look in (executor.list_workloads(), executor.inspect("x")):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await look
        assert loop.time() - started < 5
    finally:
        # Let the blocked threads end: every connection is answered by its end.
        silent.settimeout(0.2)
        closing = threading.Thread(target=_hang_up, args=(silent,))
        closing.start()
        await asyncio.to_thread(closing.join)
        silent.close()
        await executor.close()
        await asyncio.to_thread(executor._engine._threads.shutdown)


def _hang_up(server):
    try:
        while True:
            server.accept()[0].close()
    except TimeoutError:
        return


# ------------------------------------------------------------------ requirements


def layers_of(engine, bench):
    found = engine.images.list(
        "ci-runner-deps", filters={"label": f"{LABEL_INSTANCE}={bench.instance}"}
    )
    return sorted(tag for image in found for tag in image.tags)


def project(requirements, module="sample_module"):
    """A project that installs a package of its own, without an index."""
    return {
        "requirements.txt": requirements,
        "dist/setup.py": (
            f"from setuptools import setup\nsetup(name={module!r}, version='1', "
            f"py_modules=[{module!r}])\n"
        ).encode(),
        f"dist/{module}.py": b"ANSWER = 42\n",
    }


FROM_INDEX = {"requirements.txt": b"six==1.16.0\n"}
USE_SIX = "import six; print(six.__version__)"


async def launched(bench, files=FROM_INDEX, source=USE_SIX, **options):
    """Run a job with requirements; its own output and that of the installation."""
    finished = await bench.run(source, package=zip_bytes(files), **options)
    return finished.output, finished.setup


async def test_requirements_are_installed_once(bench, engine):
    first, second = await asyncio.gather(launched(bench), launched(bench))
    assert first[0] == second[0] == b"1.16.0\n"
    assert b"six" in first[1]
    assert first[1] == second[1], "both see the output of the one installation"
    (layer,) = layers_of(engine, bench)
    image = engine.images.get(layer).attrs
    # What kept the installation's output is no part of the image.
    assert not image["Config"].get("Volumes")
    assert image["Size"] - engine.images.get("ci-runner:latest").attrs["Size"] < 32 << 20
    third = await launched(bench)
    said = b"ci: install: requirements.txt\n"
    assert third == (b"1.16.0\n", said), "nothing was installed"
    other = await launched(bench, {"requirements.txt": b"# another text\nsix==1.16.0\n"})
    assert other[0] == b"1.16.0\n"
    assert len(layers_of(engine, bench)) == 2
    await launched(bench, tenant="another")
    assert len(layers_of(engine, bench)) == 3, "tenants do not share layers"


async def test_tidy_evicts_only_its_own_least_recently_used(bench, engine, tmp_path):
    await launched(bench)
    (layer,) = layers_of(engine, bench)
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other", "docker")
    try:
        await launched(other)
        greedy = bench.new_executor(deps_cache_bytes=0)
        try:
            await bench.executor.tidy(1)
            assert layers_of(engine, bench) == [layer], "within the budget nothing goes"
            await greedy.tidy(1)
        finally:
            await greedy.close()
        assert layers_of(engine, bench) == []
        assert len(layers_of(engine, other)) == 1
        assert list((tmp_path / "deps").iterdir()) == []
        await launched(bench)
        assert len(layers_of(engine, bench)) == 1, "an evicted layer is built again"
    finally:
        await other.close()
        remove_of_instance(other.instance)


async def test_a_layer_evicted_before_its_container_is_made_is_built_again(
    bench, engine, monkeypatch
):
    layers = bench.executor._images
    found, image_for = [], layers.image_for

    async def evicted(*arguments):
        image = await image_for(*arguments)
        if not found:
            engine.images.remove(image)
        found.append(image)
        return image

    monkeypatch.setattr(layers, "image_for", evicted)
    output, setup = await launched(bench)
    assert output == b"1.16.0\n"
    assert b"six" in setup
    assert len(found) == 2
    assert layers_of(engine, bench) == [found[0]]


async def test_a_layer_is_no_base_image(bench, engine):
    """Whoever named one, or guessed the first digits of its id, would see another's packages."""
    await launched(bench, tenant="another")
    (tag,) = layers_of(engine, bench)
    image_id = engine.images.get(tag).id
    for name in (tag, image_id, image_id.removeprefix("sha256:")[:12]):
        with pytest.raises(ImageUnavailableError, match="could not be pulled"):
            await bench.launch(bench.job("pass", image=name))
    assert bench.leftovers() == []


SHOW_LIMITS = """
import pathlib, sys
for name in ("memory/memory.limit_in_bytes", "memory.max", "pids/pids.max", "pids.max"):
    path = pathlib.Path("/sys/fs/cgroup", name)
    if path.exists():
        sys.stderr.write(f"{path.name} {path.read_text()}")
"""


async def test_the_installation_has_limits(bench):
    limits = ResourceLimits(memory_mb=300, pids=77)
    await bench.set_up_anew(setup_limits=limits)
    executor = bench.executor
    files = project(b"./dist\n")
    files["dist/setup.py"] += SHOW_LIMITS.encode() + b"sys.exit(3)\n"
    log = MemoryLog()
    with pytest.raises(SetupFailedError):
        await bench.launch(bench.job("pass", package=zip_bytes(files)), log)
    assert executor is bench.executor
    assert str(300 << 20).encode() in bytes(log.content)
    assert b"max 77" in bytes(log.content)


async def test_failing_requirements(bench, engine):
    files = {"requirements.txt": b"no-such-package-of-this-name-xyz==99\n"}
    log = MemoryLog()
    job = bench.job("pass", package=zip_bytes(files))
    with pytest.raises(SetupFailedError, match="requirements"):
        await bench.launch(job, log)
    assert b"no-such-package-of-this-name-xyz" in bytes(log.content)
    assert bench.leftovers() == []
    assert layers_of(engine, bench) == []


async def test_a_set_up_that_takes_too_long(bench, engine):
    files = project(b"./dist\n")
    files["dist/setup.py"] = b"import time; time.sleep(60)\n"
    executor = bench.new_executor(setup_timeout_seconds=0.5)
    job = bench.job("pass", package=zip_bytes(files))
    try:
        for _ in range(2):  # what was made in time is no reason to take the rest for made
            with pytest.raises(SetupFailedError, match=r"longer than 0\.5 s"):
                await executor.launch(bench.request(job), MemoryLog())
            assert bench.leftovers() == []
    finally:
        await executor.close()


async def test_a_cancelled_set_up_leaves_nothing(bench, engine):
    files = project(b"./dist\n")
    files["dist/setup.py"] = b"import time; time.sleep(60)\n"
    job = bench.job("pass", package=zip_bytes(files))
    launching = asyncio.create_task(bench.launch(job))
    await until(bench.leftovers, what="the set-up's beginning")
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert bench.leftovers() == []
    assert layers_of(engine, bench) == []


@pytest.mark.parametrize(("made_in", "removed"), [(None, True), (1, True), (2, True), (3, False)])
async def test_tidy_removes_a_set_up_that_a_crash_left(bench, engine, made_in, removed):
    """And not one of a controller that took over while this one was paused."""
    labels = {LABEL_INSTANCE: bench.instance, LABEL_ROLE: ROLE_SETUP}
    if made_in is not None:  # the first version did not write it down
        labels[LABEL_EPOCH] = str(made_in)
    name = f"{bench.prefix}setup"
    engine.containers.create("ci-runner:latest", "true", labels=labels, name=name)
    assert bench.leftovers() == [name]
    await bench.executor.tidy(2)
    assert bench.leftovers() == ([] if removed else [name])
    await bench.executor.tidy(3)


async def test_a_set_up_under_way_is_left_alone(bench, engine):
    """By its own controller, and by one that was paused and goes on."""
    files = project(b"./dist\n")
    files["dist/setup.py"] = b"import time; time.sleep(60)\n"
    job = bench.job("pass", package=zip_bytes(files))
    launching = asyncio.create_task(bench.launch(job, epoch=2))
    (name,) = await until(bench.leftovers, what="the set-up")
    old = bench.new_executor()
    try:
        await old.tidy(1)
        await bench.executor.tidy(2)
        assert bench.leftovers() == [name]
        await old.tidy(2)  # as the next process, with the lease
        assert bench.leftovers() == []
    finally:
        await old.close()
        launching.cancel()
        await asyncio.wait([launching])
