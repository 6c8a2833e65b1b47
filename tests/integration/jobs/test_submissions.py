"""The three ways to submit, and what is answered to each."""

import json
import re
import uuid

import httpx
import pytest

from support import events, projects

pytestmark = pytest.mark.docker

COMPLETE_KEYS = {
    *("type", "job_id", "success", "status", "exit_code", "reason", "message"),
    *("log_dropped", "tests", "coverage"),
}


def test_submit_sends_log_events_then_complete_and_nothing_else(server):
    command = projects.shell("for i in 1 2 3; do echo line $i; sleep 0.05; done")
    got = events.read(server.http, "POST", "/submit", **server.form(projects.ANY, command))
    *logs, complete = got
    assert logs
    assert {event.type for event in logs} == {"log"}
    assert events.logged(got) == b"line 1\nline 2\nline 3\n"
    assert complete.data.keys() == COMPLETE_KEYS
    assert complete.data["type"] == "complete"
    assert (complete.data["success"], complete.data["status"]) == (True, "completed")
    assert (complete.data["exit_code"], complete.data["reason"]) == (0, "exit")


def test_a_job_that_fails_is_complete_without_success(server):
    command = projects.shell("echo sorry; exit 7")
    got = events.read(server.http, "POST", "/submit", **server.form(projects.ANY, command))
    assert events.logged(got) == b"sorry\n"
    complete = got[-1].data
    assert (complete["success"], complete["status"]) == (False, "completed")
    assert (complete["exit_code"], complete["reason"]) == (7, "exit")


def test_a_job_that_says_nothing_is_complete_at_once(server):
    form = server.form(projects.ANY, ["true"])
    assert events.types(events.read(server.http, "POST", "/submit", **form)) == ["complete"]


def test_submit_stream_tells_the_id_first(server):
    form = server.form(projects.ANY, ["echo", "hello"])
    first, *rest = events.read(server.http, "POST", "/submit-stream", **form)
    assert first.data.keys() == {"type", "job_id"}
    assert first.type == "job_id"
    job_id = first.data["job_id"]
    assert str(uuid.UUID(job_id, version=4)) == job_id
    assert events.types(rest) == ["log", "complete"]
    assert rest[-1].data["job_id"] == job_id
    assert server.job(job_id)["success"] is True


def test_submit_async_answers_with_the_id_alone(server):
    answer = server.http.post("/submit-async", **server.form(projects.ANY, ["echo", "hello"]))
    assert answer.status_code == 200
    assert answer.json().keys() == {"job_id"}
    job_id = answer.json()["job_id"]
    assert str(uuid.UUID(job_id, version=4)) == job_id
    assert server.finished(job_id)["success"] is True
    assert server.log(job_id) == b"hello\n"


@pytest.mark.parametrize("order", [("spec", "secrets", "file"), ("file", "secrets", "spec")])
def test_the_parts_of_a_form_come_in_any_order(server, order):
    command = projects.shell('echo "$TOKEN" | tr a-z A-Z')
    contents = {
        "spec": json.dumps({"command": command}),
        "secrets": json.dumps({"TOKEN": {"value": "bG93ZXIgY2FzZQ=="}}),
        "file": projects.ANY,
    }
    form = [(name, ("x" if name == "file" else None, contents[name])) for name in order]
    answer = server.http.post("/submit-async", files=form)
    assert answer.status_code == 200, answer.text
    job = server.finished(answer.json()["job_id"])
    assert (job["success"], job["command"], job["secrets"]) == (True, command, ["TOKEN"])
    assert server.log(job["job_id"]) == b"LOWER CASE\n"


def test_the_first_events_arrive_while_the_job_runs(server):
    form = server.form(projects.ANY, projects.WAITING)
    with events.streaming(server.http, "POST", "/submit-stream", **form) as stream:
        job_id = next(stream).data["job_id"]
        assert next(stream).data == {"type": "log", "data": "waiting\n"}
        assert server.wait_status(job_id, "running")["end_time"] is None
        server.http.post(f"/jobs/{job_id}/cancel")
        assert list(stream)[-1].data["status"] == "cancelled"


def test_the_wire_is_plain_events_with_ids_and_a_first_heartbeat(server):
    form = server.form(projects.ANY, ["echo", "hello"])
    with server.http.stream("POST", "/submit-stream", **form) as answer:
        body = answer.read().decode()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    heartbeat, job_id, log, complete, end = body.split("\n\n")
    assert re.fullmatch(": .*", heartbeat)
    assert job_id.startswith('retry: 1000\nid: 0\ndata: {"type":"job_id",')
    assert log == 'id: 6\ndata: {"type":"log","data":"hello\\n"}'
    assert complete.startswith("id: 6:complete\ndata: {")
    assert json.loads(complete.rpartition("data: ")[2])["type"] == "complete"
    assert end == ""


def test_a_job_as_it_is_described(server):
    job, _ = server.run(projects.ANY, ["echo", "hello"])
    assert job.keys() >= {"job_id", "status", "success", "start_time", "end_time"}
    assert job["command"] == ["echo", "hello"]
    assert job["log_size"] == 6
    times = [job["submit_time"], job["start_time"], job["end_time"]]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


def test_the_default_command_is_pytest(server):
    job, log = server.run(projects.PASSING)
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", True, 0)
    assert b"test_it.py::test_passes PASSED" in log
    assert b"1 passed" in log


def test_failing_tests(server):
    job, log = server.run(projects.FAILING)
    assert (job["status"], job["success"], job["exit_code"]) == ("completed", False, 1)
    assert b"1 failed" in log


def test_a_syntax_error_in_the_project_is_the_projects_failure(server):
    job, log = server.run(projects.BROKEN)
    assert (job["status"], job["success"], job["reason"]) == ("completed", False, "exit")
    assert b"SyntaxError" in log


def test_a_submission_over_a_slow_connection_is_whole(server):
    """The form arrives a few bytes at a time: whatever the cuts, it is understood."""
    request = server.http.build_request(
        "POST", "/submit-async", **server.form(projects.ANY, ["echo", "whole"])
    )
    content = request.read()
    pieces = (content[at : at + 7] for at in range(0, len(content), 7))
    answer = server.http.post(
        "/submit-async", content=pieces, headers={"content-type": request.headers["content-type"]}
    )
    assert answer.status_code == 200, answer.text
    assert server.finished(answer.json()["job_id"])["success"] is True


def test_a_watcher_that_leaves_does_not_end_the_job(server):
    form = server.form(projects.ANY, projects.shell("echo one; sleep 0.5; echo two"))
    with events.streaming(server.http, "POST", "/submit-stream", **form) as stream:
        job_id = next(stream).data["job_id"]
        assert next(stream).type == "log"
    assert server.finished(job_id)["success"] is True
    assert server.log(job_id) == b"one\ntwo\n"


def test_many_submissions_at_once_all_run(server):
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False):
        job_ids = [server.submit(projects.ANY, ["echo", str(number)]) for number in range(8)]
    for number, job_id in enumerate(job_ids):
        assert server.finished(job_id)["success"] is True
        assert server.log(job_id) == b"%d\n" % number
