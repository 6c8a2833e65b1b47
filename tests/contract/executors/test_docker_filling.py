"""An engine that goes away, or refuses a file, while it unpacks the project: nothing of it runs."""

import asyncio

import pytest

from ci_common.errors import EngineUnavailableError, RunnerError
from support import engine as engine_socket
from support.endless_project import EndlessProject
from support.executors import collect
from support.socket_proxy import SocketProxy

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)


@pytest.fixture
def endless(monkeypatch):
    return EndlessProject(monkeypatch)


def job(bench):
    return bench.job("import os; print(sorted(os.listdir()))", files={"file.txt": b"content\n"})


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    """In the way between the bench, which is made after it, and the engine."""
    target = engine_socket.socket_path()
    if target is None:
        pytest.skip("the engine is not at a unix socket")
    proxy = SocketProxy(tmp_path / "engine.sock", target)
    proxy.restore()
    monkeypatch.setenv("DOCKER_HOST", proxy.docker_host)
    yield proxy
    proxy.cut()


async def test_a_connection_that_breaks_leaves_nothing_that_runs(proxy, bench, endless):
    wanted = job(bench)
    launching = asyncio.create_task(bench.launch(wanted))
    await endless.in_the_midst(launching)
    proxy.drop()
    with pytest.raises(EngineUnavailableError):
        await launching
    assert bench.leftovers() == []
    endless.is_on = False
    assert await collect(await bench.launch(wanted)) == b"['file.txt']\n"
    await bench.executor.remove(wanted.job_id)


async def test_an_engine_that_refuses_a_file_in_the_midst_leaves_nothing(bench, endless):
    endless.after = "file1/below-a-file"
    with pytest.raises(RunnerError):
        await bench.launch(job(bench))
    assert bench.leftovers() == []
