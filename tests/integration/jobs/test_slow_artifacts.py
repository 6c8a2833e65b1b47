"""Artifacts that take long to collect hold up no other job, with a real engine."""

import pytest

from support.projects import ANY, table
from support.waiting import until_sync

pytestmark = pytest.mark.docker

SLOW = table(
    "[tool.ci.jobs.test]\n"
    'command = "mkdir output; truncate -s 1T output/big; echo 1 > output/a.txt"\n'
    'artifacts = ["output/*.txt"]\n'
)
"""The engine sends all of a file that is not wanted: for ten minutes, if nobody ends that."""

MANY = table(
    "[tool.ci.jobs.test]\n"
    'command = ["python", "-c", """import os\n'
    "os.mkdir('output')\n"
    "for number in range(20_000): open(f'output/{number:07}', 'x').close()\n"
    '"""]\n'
)


@pytest.fixture
def single(own_server):
    return own_server(max_concurrent_jobs=1, max_artifacts=100).start().ready()


def collecting(server, job_id):
    """Wait until the job's artifacts are being collected."""
    staging = server.data / "staging/artifacts"
    until_sync(
        lambda: staging.is_dir() and [path for path in staging.iterdir() if job_id in path.name],
        what="a collection",
    )


def test_the_next_job_runs_meanwhile_and_a_cancel_ends_it(single):
    slow = single.submit(SLOW)
    assert single.run(ANY, ["true"])[0]["success"] is True
    assert single.job(slow)["status"] == "running"
    collecting(single, slow)
    single.http.post(f"/jobs/{slow}/cancel")
    job = single.finished(slow)
    assert (job["status"], job["success"]) == ("completed", True)
    assert (
        job["artifacts_left_out"]
        == "files that were not reached within 30 s of the job's cancellation"
    )
    assert single.http.get(f"/jobs/{slow}/artifacts").json()[0]["path"] == "output/a.txt"


def test_it_goes_on_after_a_restart_and_still_holds_no_slot(single):
    slow = single.submit(SLOW)
    collecting(single, slow)
    single.kill()
    left = list((single.data / "staging/artifacts").iterdir())
    single.start().ready()
    assert single.run(ANY, ["true"])[0]["success"] is True
    assert single.job(slow)["status"] == "running"
    collecting(single, slow)
    assert left[0] not in (single.data / "staging/artifacts").iterdir()


def test_of_many_files_the_first_are_kept(single):
    job, _ = single.run(MANY)
    kept = [
        artifact["path"] for artifact in single.http.get(f"/jobs/{job['job_id']}/artifacts").json()
    ]
    assert kept == [f"output/{number:07}" for number in range(100)]
    assert job["artifacts_left_out"] == (
        "at least 1001 beyond the limit of 100 files, "
        "everything from 'output/0001100' on, in the order of paths"
    )
    assert job["message"] == f"exited with code 0; artifacts left out: {job['artifacts_left_out']}"
