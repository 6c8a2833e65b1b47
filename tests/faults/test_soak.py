"""A small soak (see `scripts/soak`): output of every shape, several readers each."""

import pytest

from support.soak import Options, soak

pytestmark = pytest.mark.docker

JOBS = 30


@pytest.mark.fault(
    "jobs of every shape of output, several readers each",
    f"{JOBS} jobs: output at the first instruction and at the last moment, sizes at the borders of "
    "buffers, cut characters, long lines, children, secrets, logs over their cap, any exit code or "
    "signal; readers that hang up, stall, come late, or begin anywhere",
    "no reader was cut off that did not stall; the server's memory and descriptors stayed level",
    repeats=1,
)
def test_soak(tmp_path, seed):
    said = []
    report = soak(tmp_path, Options(jobs=JOBS, seed=f"test {seed}", keep_going=True), said.append)
    assert not report.failures, "\n".join([*report.failures, report.table()])
    assert report.jobs == JOBS
