"""A container is removed behind the controller's back."""

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob, same
from support.engine import engine

pytestmark = pytest.mark.docker


def remove_in_mid_job(server, job, dice):
    """Remove the job's container once its log has a random size."""
    wanted = dice.randrange(1, len(job.output) // 2)
    server.wait_status(job.job_id, "running")
    server.until(lambda: len(server.log(job.job_id)), lambda size: size >= wanted, "some log")
    with engine() as client:
        client.api.remove_container(f"{server.prefix}{job.job_id}", force=True, v=True)


@pytest.mark.fault(
    "container removed, no retries",
    "`docker rm -f` of a running job's container at a random size of its log",
    "`failed`, reason `lost`",
)
def test_lost(make_server, settled, dice):
    server = make_server(reconcile_seconds=0.5).start().ready()
    accepted = AcceptedJobs(server)
    job = accepted.submit(SeededJob(f"{dice.random()}", seconds=8))
    remove_in_mid_job(server, job, dice)
    row = settled(accepted, server)[job.job_id]
    assert (row["status"], row["reason"], row["attempt"]) == ("failed", "lost", 1)


@pytest.mark.fault(
    "container removed, one retry",
    "the same for a job with `retries = 1`",
    "`completed` at the second attempt; the log has the beginning of the first attempt's output, "
    "one line that says so, and all output of the second",
)
def test_retried(make_server, settled, dice):
    server = make_server(reconcile_seconds=0.5).start().ready()
    accepted = AcceptedJobs(server)
    job = accepted.submit(SeededJob(f"{dice.random()}", seconds=4), retries=1)
    remove_in_mid_job(server, job, dice)
    expected, job.output = job.output, None  # it is not all that the log will have
    row = settled(accepted, server)[job.job_id]
    assert (row["status"], row["success"], row["attempt"]) == ("completed", True, 2)
    told = b"[attempt 2: the one before was lost]\n"
    first, marker, second = server.log(job.job_id).partition(told)
    assert marker
    if not expected.startswith(first):  # the line begins anew after one that was cut off
        first = first.removesuffix(b"\n")
    same(first, expected[: len(first)], "the first attempt's log")
    same(second, expected, "the second attempt's log")
