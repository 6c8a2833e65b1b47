"""The engine itself stops or dies in mid-job: a dockerd that the test has started."""

import time

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob
from support.engine import engine, release
from support.own_dockerd import VOLATILE, has_ended, own_dockerd
from support.waiting import until_sync

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
def dockerd(tmp_path_factory, monkeypatch, request):
    # All workers of one run share it, because to load the image takes long.
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with own_dockerd(shared / "dockerd") as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.docker_host)
        yield daemon


@pytest.fixture
def server_on(make_server):
    """A server on that engine, and jobs on it; closed before the engine is."""

    def make(dockerd):
        assert dockerd
        return make_server(image=VOLATILE, reconcile_seconds=0.5).start().ready()

    return make


def outage(server, dockerd, dice, how, live_restore):
    """The engine goes at a random point and comes back after a while; /ready tells."""
    time.sleep(dice.uniform(0.2, 2))  # the random point
    getattr(dockerd, how)()
    server.until(
        lambda: server.http.get("/ready").status_code, lambda status: status == 503, "/ready 503"
    )
    time.sleep(dice.uniform(0, 1))  # the random point
    dockerd.start(live_restore)
    server.ready()


def submit(accepted, dice, **options):
    job = SeededJob(f"{dice.random()}", **options)
    return accepted.submit(job, network="none")


@pytest.mark.fault(
    "dockerd stopped or killed during a job",
    "the test's own dockerd is stopped with SIGTERM or `kill -9` while two jobs run and two "
    "wait, and started again; its containers end with it",
    "running jobs ended with the code that the engine recorded, and with success only if all "
    "their work was done; waiting jobs completed; no volume is left",
)
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_engine_restarts(dockerd, server_on, settled, dice, how):
    server = server_on(dockerd)
    server.environment["CI_MAX_CONCURRENT_JOBS"] = "2"
    server.terminate()
    server.start().ready()
    accepted = AcceptedJobs(server)
    running = [submit(accepted, dice, seconds=30) for _ in range(2)]
    waiting = [submit(accepted, dice, count=20) for _ in range(2)]
    for job in running:
        server.under_way(job.job_id, b"\n")
    outage(server, dockerd, dice, how, live_restore=False)
    rows = settled(accepted, server, volumes=True, network="none")
    for job in running:
        row = rows[job.job_id]
        assert row["success"] is False, row
        assert row["status"] in ("completed", "failed"), row
    assert {rows[job.job_id]["success"] for job in waiting} == {True}


@pytest.mark.fault(
    "dockerd restarted with live restore",
    "the same, but its containers survive (`--live-restore`), and run longer than the outage",
    "the jobs completed with their own exit codes and whole logs",
)
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_live_restore(dockerd, server_on, settled, dice, how):
    server, accepted = live_restoring(dockerd, server_on)
    jobs = [submit(accepted, dice, seconds=4, exit_code=3, wait_at=250) for _ in range(2)]
    for job in jobs:
        server.under_way(job.job_id, b"\n")
    outage(server, dockerd, dice, how, live_restore=True)
    for job in jobs:
        release(server, job.job_id)
    rows = settled(accepted, server, volumes=True, network="none")
    assert {(row["status"], row["exit_code"]) for row in rows.values()} == {("completed", 3)}


@pytest.mark.fault(
    "a job ends while dockerd with live restore is down",
    "the test's own dockerd is stopped while two jobs run, and started again when they have ended",
    "the jobs completed with their own exit codes and whole logs, although the engine discards "
    "what a container writes meanwhile",
)
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_an_end_during_live_restore(dockerd, server_on, settled, dice, how):
    server, accepted = live_restoring(dockerd, server_on)
    jobs = [submit(accepted, dice, seconds=4, exit_code=3) for _ in range(2)]
    for job in jobs:
        server.under_way(job.job_id, b"\n")
    pids = [pid_of(f"{server.prefix}{job.job_id}") for job in jobs]
    getattr(dockerd, how)()
    until_sync(lambda: all(map(has_ended, pids)), what="the end of the jobs")
    dockerd.start(live_restore=True)
    server.ready()
    rows = settled(accepted, server, volumes=True, network="none")
    facts = {(row["status"], row["exit_code"], row["log_dropped"]) for row in rows.values()}
    assert facts == {("completed", 3, 0)}


def live_restoring(dockerd, server_on):
    """A server on an engine whose containers live on without it."""
    dockerd.terminate()
    dockerd.start(live_restore=True)
    server = server_on(dockerd)
    return server, AcceptedJobs(server)


def pid_of(container):
    with engine() as client:
        return client.api.inspect_container(container)["State"]["Pid"]
