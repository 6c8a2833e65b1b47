"""Containers whose size the engine bounds (CI_MAX_WORK_MB), on engines that can."""

import pytest

from ci_controller.executors.docker.keeper.protocol import SPOOL_BYTES
from ci_controller.executors.docker.storage import why_unbounded
from support.executors import IMAGE, MemoryLog, collect

pytestmark = [pytest.mark.anyio, pytest.mark.docker]
EXECUTORS = ("docker",)

FREE_MB = 100

FILL = """
import os
try:
    with open("large", "wb", buffering=0) as large:
        for number in range(1000):
            large.write(os.urandom(1 << 20))
except OSError as error:
    print("full after less than 200 MiB:", number < 200, flush=True)
print("x" * 1_000_000)
"""


@pytest.fixture
def work_mb(engine):
    """A bound that leaves a job some room. Where Btrfs counts, it counts the image, too."""
    facts = engine.info()
    if why := why_unbounded(facts):
        pytest.skip(why)
    size = engine.images.get(IMAGE).attrs["Size"] >> 20
    return FREE_MB + (size if facts["Driver"] == "btrfs" else 0)


async def test_a_job_that_fills_its_container_still_has_its_output(bench, work_mb):
    await bench.set_up_anew(work_mb=work_mb)
    job = bench.job(FILL)
    output = await bench.launch(job, MemoryLog())
    content = await collect(output)
    assert content == b"full after less than 200 MiB: True\n" + b"x" * 1_000_000 + b"\n"
    assert (await bench.ended(job.job_id)).exit_code == 0


async def test_what_keeps_the_output_does_not_take_the_jobs_room(bench, engine, work_mb):
    await bench.set_up_anew(work_mb=work_mb)
    job = bench.job("print('ran')")
    await collect(await bench.launch(job, MemoryLog()))
    facts = engine.api.inspect_container(bench.prefix + job.job_id)
    size = work_mb + (SPOOL_BYTES >> 20)
    assert facts["HostConfig"]["StorageOpt"] == {"size": f"{size}m"}
