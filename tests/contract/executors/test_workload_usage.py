"""What executors tell of the CPU and memory that a workload uses (port Executor)."""

import uuid

import pytest

from support.executors import running
from support.waiting import until

pytestmark = pytest.mark.anyio

HELD = 64 << 20
WORKS = f"""
import subprocess, sys
held = bytearray({HELD})
held[::4096] = b"x" * len(held[::4096])
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
print("ready", flush=True)
child.wait()
"""


async def test_memory_and_the_cpu_of_all_processes(bench):
    async with running(bench, WORKS) as (job, _):
        used = await until(
            lambda: bench.executor.usage(job.job_id),
            lambda used: used is not None and used.cpu_seconds > 0.3,
            "CPU time of the child",
            60,
        )
        assert HELD <= used.memory_bytes < 8 * HELD
        later = await until(
            lambda: bench.executor.usage(job.job_id),
            lambda later: later.cpu_seconds >= used.cpu_seconds + 0.2,
            "more of it",
            60,
        )
        assert later.cpu_seconds < 600
        await bench.executor.stop(job.job_id, 0)
        assert await bench.executor.usage(job.job_id) is None, "it has ended"
    assert await bench.executor.usage(job.job_id) is None, "it is gone"


async def test_a_job_that_was_never_launched(bench):
    assert await bench.executor.usage(str(uuid.uuid4())) is None
