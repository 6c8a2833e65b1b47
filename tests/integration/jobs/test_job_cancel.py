"""Cancelling jobs at every stage, both ways."""

import pytest

from support import engine, events, projects

pytestmark = pytest.mark.docker

BOTH_WAYS = pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])


def cancel(server, job_id, method="DELETE", path=""):
    return server.http.request(method, f"/jobs/{job_id}{path}")


@BOTH_WAYS
def test_a_running_job(server, method, path):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    answer = cancel(server, job_id, method, path)
    assert answer.status_code == 202
    assert answer.json()["job_id"] == job_id
    assert answer.json()["cancel_requested_at"]
    job = server.finished(job_id)
    assert (job["status"], job["success"], job["reason"]) == ("cancelled", False, "cancelled")
    server.until(
        lambda: engine.containers_of(server), lambda found: job_id not in found, "no container"
    )


def test_the_log_is_drained_before_complete(server):
    """What the job says when it is asked to stop is in the log, and complete comes after it."""
    script = (
        "import os, signal, sys, time\n"
        "def stop(*_): time.sleep(0.3); os.write(1, b'cleaning up\\n'); sys.exit(3)\n"
        "signal.signal(15, stop)\n"
        "os.write(1, b'ready\\n')\n"  # print would write the newline by itself
        "time.sleep(99)\n"
    )
    form = server.form(projects.ANY, projects.python(script))
    with events.streaming(server.http, "POST", "/submit-stream", **form) as stream:
        job_id = next(stream).data["job_id"]
        assert next(stream).data["data"] == "ready\n"
        cancel(server, job_id)
        rest = list(stream)
    assert events.logged(rest) == b"cleaning up\n"
    assert events.types(rest)[-1] == "complete"
    assert (rest[-1].data["status"], rest[-1].data["success"]) == ("cancelled", False)
    assert server.log(job_id) == b"ready\ncleaning up\n"


def test_twice_is_the_same_as_once(server):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    first, second = cancel(server, job_id), cancel(server, job_id)
    assert second.status_code in (202, 409)  # 409 where it was very quick
    if second.status_code == 202:
        times = [answer.json()["cancel_requested_at"] for answer in (first, second)]
        assert times[0] == times[1]
    assert server.finished(job_id)["status"] == "cancelled"


@BOTH_WAYS
def test_a_finished_job_is_a_conflict(server, method, path):
    job, _ = server.run(projects.ANY, ["true"])
    answer = cancel(server, job["job_id"], method, path)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "job_finished"
    assert server.job(job["job_id"]) == job


def test_at_once_after_submission(server):
    """Whether it was still queued, being made, or running: it ends cancelled, nothing is left."""
    for _ in range(4):
        job_id = server.submit(projects.ANY, projects.ENDLESS)
        assert cancel(server, job_id).status_code == 202
        assert server.finished(job_id)["status"] == "cancelled"
        server.until(
            lambda job_id=job_id: job_id in engine.containers_of(server),
            lambda there: not there,
            "no container",
        )


def test_a_job_that_ignores_the_signal_is_killed_after_the_grace(own_server):
    server = own_server(cancel_grace_seconds=1).start().ready()
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(99)"
    job_id = server.submit(projects.ANY, projects.python(script))
    server.under_way(job_id, b"deaf")
    cancel(server, job_id)
    job = server.finished(job_id, seconds=15)
    assert (job["status"], job["exit_code"]) == ("cancelled", 137)
