"""Jobs that wait their turn."""

import pytest

from support import engine, events, projects

pytestmark = pytest.mark.docker


def test_a_queued_jobs_stream_waits_and_tells_its_moves(single, busy):
    job_id = single.submit(projects.ANY, ["echo", "my turn"])
    with events.streaming(single.http, "GET", f"/jobs/{job_id}/stream") as stream:
        assert next(stream).data == {"type": "status", "status": "queued", "position": 1}
        assert single.job(job_id)["status"] == "queued"
        engine.release(single, busy)
        rest = list(stream)
    statuses = [event.data["status"] for event in rest if event.type == "status"]
    order = ["initializing", "running"]
    assert statuses == [status for status in order if status in statuses]
    assert "running" in statuses
    assert events.logged(rest) == b"my turn\n"
    assert rest[-1].data["success"] is True


def test_a_queued_submission_sends_no_status_but_waits(single, busy):
    form = single.form(projects.ANY, ["echo", "my turn"])
    with events.streaming(single.http, "POST", "/submit-stream", **form) as stream:
        job_id = next(stream).data["job_id"]
        assert single.job(job_id)["status"] == "queued"
        engine.release(single, busy)
        assert events.types(list(stream)) == ["log", "complete"]


def test_a_queued_jobs_log_is_empty_and_can_be_followed(single, busy):
    job_id = single.submit(projects.ANY, ["echo", "my turn"])
    assert single.log(job_id) == b""
    path, params = f"/jobs/{job_id}/logs", {"follow": True}
    with single.http.stream("GET", path, params=params) as answer:
        engine.release(single, busy)
        assert answer.read() == b"my turn\n"


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
def test_a_queued_job_can_be_cancelled_and_never_starts(single, busy, method, path):
    job_id = single.submit(projects.ANY, ["echo", "never"])
    with events.streaming(single.http, "GET", f"/jobs/{job_id}/stream") as stream:
        assert next(stream).data["status"] == "queued"
        assert single.http.request(method, f"/jobs/{job_id}{path}").status_code == 202
        rest = list(stream)
    # It may be cancelled before anybody could say what it waits for.
    assert [kind for kind in events.types(rest) if kind != "waiting"] == ["complete"]
    complete = rest[-1]
    assert complete.data["status"] == "cancelled"
    assert single.job(job_id)["start_time"] is None
    assert single.log(job_id) == b""
    assert single.job(busy)["status"] == "running"


def test_first_come_first_served(single, busy):
    job_ids = [single.submit(projects.ANY, ["true"]) for _ in range(3)]
    engine.release(single, busy)
    ends = [single.finished(job_id)["start_time"] for job_id in job_ids]
    assert ends == sorted(ends)


def test_queued_jobs_survive_kill_and_run_after_a_restart(own_server):
    server = own_server(max_concurrent_jobs=1).start().ready()
    first = server.submit(projects.ANY, projects.WAITING)
    server.under_way(first, b"waiting")
    queued = server.submit(projects.ANY, ["echo", "after the restart"])
    server.kill()
    server.start()
    assert server.job(queued)["status"] == "queued"
    engine.release(server, first)
    assert server.finished(first)["success"] is True
    assert server.finished(queued)["success"] is True
    assert server.log(queued) == b"after the restart\n"
