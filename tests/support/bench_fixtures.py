"""A bench for the tests of executors, on each kind, or on those that a module's `EXECUTORS` names;
and the engine, to look behind the executor's back.
"""

import shutil

import docker
import pytest

from support.executors import Bench, remove_of_instance

_KINDS = ("process", "docker")


def parametrize_bench(metafunc):
    """To be called by `pytest_generate_tests`."""
    if "bench" not in metafunc.fixturenames:
        return
    kinds = getattr(metafunc.module, "EXECUTORS", _KINDS)
    marks = {"docker": pytest.mark.docker}
    params = [pytest.param(kind, marks=marks.get(kind, ())) for kind in kinds]
    metafunc.parametrize("bench", params, indirect=True)


@pytest.fixture
async def bench(request, tmp_path):
    """A bench; nothing of it may be left after the test but what the test removes itself."""
    bench = Bench(tmp_path, request.param)
    try:
        yield bench
        await bench.close()
        assert bench.leftovers() == []
    finally:
        if request.param == "docker":
            remove_of_instance(bench.instance)
        shutil.rmtree(bench.works, ignore_errors=True)


@pytest.fixture
def engine():
    """A client of the engine."""
    client = docker.from_env(version="auto")
    yield client
    client.close()
