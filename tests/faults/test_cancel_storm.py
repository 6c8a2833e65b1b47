"""Many jobs are submitted and cancelled at once, at whatever point of their way they are."""

import threading
import time

import httpx
import pytest

from support.accepted_jobs import AcceptedJobs, SeededJob

pytestmark = pytest.mark.docker

JOBS = 20


@pytest.mark.fault(
    "20 jobs cancelled at random moments",
    "20 jobs are submitted one after the other; each is cancelled at a random moment within the "
    "next 4 s, some of them twice",
    "each is cancelled, or completed before; cancel requests get 202 or 409",
)
def test_cancel_storm(make_server, settled, dice):
    server = make_server(cancel_grace_seconds=1).start().ready()
    accepted = AcceptedJobs(server)
    answers = []

    def cancel(job_id, delays):
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            for delay in delays:
                time.sleep(delay)  # the random moment itself
                answers.append(http.delete(f"/jobs/{job_id}").status_code)

    threads = []
    for _ in range(JOBS):
        seconds = dice.choice([0, 0.3, 5])
        job = accepted.submit(SeededJob(f"{dice.random()}", count=100, seconds=seconds))
        delays = [dice.uniform(0, 4)] + [dice.uniform(0, 1)] * dice.randint(0, 1)
        threads.append(threading.Thread(target=cancel, args=(job.job_id, delays), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    rows = settled(accepted, server)
    assert len(answers) >= JOBS
    assert set(answers) <= {202, 409}
    assert {row["status"] for row in rows.values()} <= {"cancelled", "completed"}
    for row in rows.values():
        assert (row["status"] == "cancelled") == (row["reason"] == "cancelled")
        assert row["status"] == "cancelled" or row["exit_code"] == 0
