"""What executors say a crash has left with them (port Executor), and how it is removed."""

import pytest

from ci_common.ports.workloads import Leftover
from support.executors import MemoryLog, drain

pytestmark = pytest.mark.anyio
EXECUTORS = ("fake", "process", "docker")


async def test_an_executor_at_work_leaves_nothing(bench):
    request = bench.request(bench.job(*bench.waits()))
    output = await bench.executor.launch(request, MemoryLog())
    assert list(await bench.executor.leftovers(0)) == [], "workloads are none"
    await bench.executor.remove(request.job_id)
    await drain(output)
    assert list(await bench.executor.leftovers(0)) == []


async def test_one_that_is_gone_is_removed(bench):
    await bench.executor.remove_leftover(Leftover("0" * 64, "installation container", "gone"))
