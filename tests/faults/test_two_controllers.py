"""Two controllers of one database; one is paused for longer than its lease."""

import signal
import sqlite3
import time
from contextlib import closing

import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob
from support.engine import LABEL_INSTANCE, LABEL_JOB, engine

pytestmark = pytest.mark.docker


def epoch(server):
    """How often the lease went to another holder."""
    with closing(sqlite3.connect(server.database, timeout=30)) as connection:
        return connection.execute("SELECT epoch FROM controller_lease").fetchone()[0]


def starts(server, since):
    """How often the engine started a container of each job since then."""
    label = f"{LABEL_INSTANCE}={server.instance_id()}"
    filters = {"label": label, "event": "start", "type": "container"}
    counts = {}
    with engine() as client:
        found = client.api.events(
            since=since, until=int(time.time()) + 1, filters=filters, decode=True
        )
        for event in found:
            job_id = event["Actor"]["Attributes"].get(LABEL_JOB)
            counts[job_id] = counts.get(job_id, 0) + 1
    return counts


@pytest.mark.fault(
    "controller paused past its lease",
    "SIGSTOP to the active controller with three jobs running and more queued; SIGCONT a random "
    "time after another took over",
    "no job was started twice; all completed at their first attempt",
)
def test_paused_past_the_lease(make_server, settled, dice):
    since = int(time.time())
    server = make_server(controller="external", max_concurrent_jobs=3).start()
    first = server.spawn_controller()
    server.ready()
    server.spawn_controller()
    accepted = AcceptedJobs(server)
    for _ in range(6):
        accepted.submit(SeededJob(f"{dice.random()}", seconds=dice.uniform(0.5, 5), exit_code=3))
    before = epoch(server)
    time.sleep(dice.uniform(0, 1.5))  # the random point
    first.send_signal(signal.SIGSTOP)
    try:
        server.until(lambda: epoch(server), lambda now: now > before, "another's lease")
        time.sleep(dice.uniform(0, 3))  # the random point
    finally:
        first.send_signal(signal.SIGCONT)
    rows = settled(accepted, server)
    facts = {(row["status"], row["exit_code"], row["attempt"]) for row in rows.values()}
    assert facts == {("completed", 3, 1)}
    counts = starts(server, since)
    assert {counts.get(job_id, 1) for job_id in rows} == {1}, counts
