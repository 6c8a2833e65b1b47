"""A server that is killed, or stands still, while jobs write, on whichever engine."""

import os
import signal

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob
from support.engine import engine
from support.nothing_left import assert_nothing_left
from support.own_dockerd import has_ended

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SPOOL_LINES = 90_000
"""Of 1000 characters: more than a container's spool holds."""


@pytest.fixture
def server(own_server):
    return own_server(reconcile_seconds=0.5).start().ready()


def submit(accepted, seed, **options):
    return accepted.submit(SeededJob(seed, **options), network="none")


def release(server, job):
    """Let a job go on that waits. From inside: gVisor does not show a job a file that was put into
    the container after the job had looked for it.
    """
    with engine() as client:
        name = f"{server.prefix}{job.job_id}"
        made = client.api.exec_create(name, ["touch", "/workspace/go"], user="1000:1000")
        client.api.exec_start(made["Id"], detach=True)


def process_of(server, job):
    """The job's container's, on this machine."""
    with engine() as client:
        return client.api.inspect_container(f"{server.prefix}{job.job_id}")["State"]["Pid"]


def codes(rows):
    return {(row["status"], row["exit_code"], row["attempt"]) for row in rows.values()}


def test_a_server_is_killed_while_jobs_run(server):
    """One job goes on afterwards, and one ends while nobody looks."""
    accepted = AcceptedJobs(server)
    going_on = submit(accepted, "goes on", count=400, wait_at=200, exit_code=3)
    ending = submit(accepted, "ends", count=400, wait_at=200, exit_code=3)
    for job in (going_on, ending):
        server.under_way(job.job_id, b"199 ")
    process = process_of(server, ending)
    server.kill()
    release(server, ending)
    server.until(lambda: has_ended(process), what="the end of a job")
    server.start()
    release(server, going_on)
    assert codes(accepted.settle()) == {("completed", 3, 1)}
    assert_nothing_left(server)


def test_a_server_stands_still_while_a_job_writes_and_ends(server):
    """Docker 20.10 does not answer about a container that has ended while its output is attached
    and not read, so the end of its process is waited for.
    """
    accepted = AcceptedJobs(server)
    job = submit(accepted, "stalled", count=3000, width=1000, wait_at=10, exit_code=3)
    server.under_way(job.job_id, b"9 ")
    process = process_of(server, job)
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        release(server, job)
        server.until(lambda: has_ended(process), what="the end of the job", seconds=60)
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)
    assert codes(accepted.settle()) == {("completed", 3, 1)}
    assert_nothing_left(server)


def test_an_output_larger_than_what_the_container_keeps(server):
    """It can only be written when the server's word on what is stored gets into the container."""
    accepted = AcceptedJobs(server)
    submit(accepted, "large", count=SPOOL_LINES, width=1000, exit_code=3)
    assert codes(accepted.settle(seconds=200)) == {("completed", 3, 1)}
    assert_nothing_left(server)
