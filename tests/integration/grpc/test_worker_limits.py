"""Limits are enforced, and commands ended, in containers."""

import time

import pytest

from support.job_worker import WorkerServer
from support.waiting import until_sync

pytestmark = pytest.mark.docker

BUSY = """
import time
begin = time.monotonic()
while time.process_time() < 1: pass
print(f"wall {time.monotonic() - begin}")
"""
ALLOCATE = "x = bytearray(400 << 20); print('allocated', len(x))"
CGROUP = """
import pathlib
for path in ("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device", "/sys/fs/cgroup/io.max"):
    if pathlib.Path(path).exists(): print("bound", pathlib.Path(path).read_text().strip())
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    directory = tmp_path_factory.mktemp("worker")
    with WorkerServer(directory, executor="docker") as server:
        server.live.ready()
        yield server


def test_limits_hold_and_commands_end(worker):
    with worker.client() as client:
        python = ("python3", "-c")
        busy = client.create(*python, BUSY, maxCPU=50)
        large = client.create(*python, ALLOCATE, maxMemory=64)
        slow = client.create(*python, CGROUP, maxIOBPS=2 << 20)
        missing = client.create("nosuchcommand", "-x")
        endless = client.create(
            "sh", "-c", "trap '' TERM; echo begun; sleep 100 & wait; wait; wait"
        )

        job = client.ended(large.id)
        assert (job.status, job.exitCode, job.maxMemory) == ("FAILED", -1, 64)
        assert b"allocated" not in client.output(large.id)

        job = client.ended(missing.id)
        assert (job.status, job.exitCode) == ("FAILED", 127)
        assert client.output(missing.id).endswith(b"command not found in PATH: nosuchcommand\n")

        job = client.ended(slow.id)
        assert (job.status, job.maxIOBPS) == ("COMPLETED", 2 << 20)
        output = client.output(slow.id).decode()
        assert str(2 << 20) in output.partition("bound")[2]

        until_sync(lambda: b"begun" in client.output(endless.id, follow="false"), what="its output")
        began = time.monotonic()
        stopped = client.stop(endless.id)
        assert (stopped.status, stopped.exitCode) == ("STOPPED", -1)
        assert time.monotonic() - began < 9, "not the ten seconds of other jobs"

        job = client.ended(busy.id)
        assert (job.status, job.maxCPU) == ("COMPLETED", 50)
        wall = float(client.output(busy.id).rpartition(b"wall ")[2])
        assert wall > 1.7, "half a core takes twice as long"
