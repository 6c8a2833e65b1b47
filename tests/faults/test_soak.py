"""A small soak (see `scripts/soak`): output of every shape, several readers each."""

import pytest

from support.soak import Options, soak

pytestmark = pytest.mark.docker

JOBS = 30


@pytest.mark.fault(
    "jobs of every shape of output, several readers each",
    f"{JOBS} jobs: output at the first instruction and at the last moment, sizes at buffer "
    "boundaries, split characters, long lines, child processes, secrets, logs over their limit, "
    "any exit code or signal; readers that disconnect, stall, come late, or start anywhere",
    "only readers that stalled were disconnected; the server's memory and file descriptors "
    "stayed level",
    repeats=1,
)
def test_soak(tmp_path, seed):
    said = []
    report = soak(tmp_path, Options(jobs=JOBS, seed=f"test {seed}", keep_going=True), said.append)
    assert not report.failures, "\n".join([*report.failures, report.table()])
    assert report.jobs == JOBS
