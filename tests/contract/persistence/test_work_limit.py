"""CI_MAX_WORK_MB on engines of the test's own, which store containers on XFS."""

from contextlib import ExitStack

import docker
import pytest

from ci_common.ports.unenforced_limits import Limit
from support.engine_option import runner_image
from support.executors import collect
from support.own_engines import EngineMissingError, own_engine

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.timeout(300)]
EXECUTORS = ("docker",)

FILL = """
import os
try:
    with open("large", "wb", buffering=0) as large:
        for number in range(400):
            large.write(os.urandom(1 << 20))
except OSError as error:
    print("full before 200 MiB:", number < 200, flush=True)
else:
    print("not full")
"""


@pytest.fixture
def on_engine(monkeypatch):
    """A function that starts an engine for this test, and has everything use it."""
    with ExitStack() as stack:

        def start(name):
            try:
                engine = stack.enter_context(own_engine(name, runner_image()))
            except EngineMissingError as error:
                pytest.skip(str(error))
            monkeypatch.setenv("DOCKER_HOST", engine.docker_host)

        yield start


@pytest.fixture
def with_quotas(on_engine):
    on_engine("docker-xfs")


@pytest.fixture
def without_quotas(on_engine):
    on_engine("docker-xfs-without-quotas")


@pytest.mark.usefixtures("with_quotas")
async def test_where_xfs_has_quotas_the_limit_is_kept(bench):
    await bench.set_up_anew(work_mb=100)
    assert [one for one in await bench.executor.check() if one.limit is Limit.WORK] == []
    job = bench.job(FILL)
    assert await collect(await bench.launch(job)) == b"full before 200 MiB: True\n"


@pytest.mark.usefixtures("without_quotas")
async def test_where_xfs_has_none_the_engines_own_words_are_told(bench):
    """By its driver and file system it could: only the trial shows that it cannot."""
    await bench.set_up_anew(work_mb=100)
    (told,) = await bench.executor.check()
    assert told.limit is Limit.WORK
    assert "pquota" in told.message
    assert bench.leftovers() == []
    job = bench.job("print('ran')")
    assert await collect(await bench.launch(job)) == b"ran\n"
    client = docker.from_env(version="auto")
    try:
        facts = client.api.inspect_container(bench.prefix + job.job_id)
    finally:
        client.close()
    assert not facts["HostConfig"].get("StorageOpt")
