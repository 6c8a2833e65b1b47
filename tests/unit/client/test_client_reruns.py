"""`ci rerun` and `rerun_job` against a server that answers as it is told."""

import base64
import json
import signal

import pytest
from client_scripted_server import (
    CANCEL,
    COMPLETE,
    DETAILS,
    JOB,
    STREAM,
    error,
    event,
    reply_json,
    stream,
)

from ci_client import JobNotFound, RequestRefused, UsageError, rerun_job

OLD = "11111111-9d0a-4c39-8f0e-3f1d2c4b5a69"
RERUN = f"POST /jobs/{OLD}/rerun"
CREATED = reply_json({"job_id": JOB, "rerun_of": OLD, "status": "queued"}, 201)
LOG = stream(event({"type": "log", "data": "hello\n"}, 6), event(COMPLETE, 6), then="end")


@pytest.fixture
def accepting(server):
    server.on(RERUN, CREATED)
    server.on(STREAM, LOG)
    return server


def test_the_log_is_followed_as_after_a_submission(accepting, run):
    code, out, err = run("rerun", OLD)
    assert (code, out) == (0, b"hello\n")
    assert f"Job {JOB}. Watch it from anywhere with: ci wait {JOB}" in err
    assert [request.body for request in accepting.asked(RERUN)] == [b""]


def test_without_an_id_it_is_my_newest_job(accepting, run):
    accepting.on("GET /jobs", reply_json([DETAILS | {"job_id": OLD}]))
    code, out, err = run("rerun", "--detach")
    assert (code, out) == (0, f"Job submitted: {JOB}\n".encode())
    assert f"Running your newest job again: {OLD}" in err
    assert accepting.asked("GET /jobs")[0].query == {"mine": "true", "limit": "1"}


def test_the_beginning_of_an_id_is_the_servers_to_complete(accepting, run):
    accepting.on("POST /jobs/1111/rerun", CREATED)
    assert run("rerun", "1111", "--detach", "--json")[:2] == (
        0,
        f'{{"type": "job_id", "job_id": "{JOB}"}}\n'.encode(),
    )


def test_the_events_as_json(accepting, run):
    code, out, _ = run("rerun", OLD, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, lines[0]) == (0, {"type": "job_id", "job_id": JOB})
    assert [line["type"] for line in lines] == ["job_id", "log", "complete"]


def test_secrets_are_sent_as_with_a_submission(accepting, run, project, monkeypatch):
    monkeypatch.setenv("TOKEN", "correct-horse-battery")
    (project / "key").write_text("a secret file")
    code, _, err = run("rerun", OLD, "--secret", "TOKEN", "--secret-file", "KEY=key")
    assert code == 0, err
    assert json.loads(accepting.asked(RERUN)[0].body) == {
        "secrets": {
            "TOKEN": {
                "value": base64.b64encode(b"correct-horse-battery").decode(),
                "environment": True,
            },
            "KEY": {"value": base64.b64encode(b"a secret file").decode(), "environment": False},
        }
    }


REFUSALS = {
    "the package is gone": (
        error(410, "package_gone", "its package is not kept any more; submit the project again"),
        2,
        "not kept any more",
    ),
    "secrets are needed": (
        error(400, "secrets_needed", "the job had secrets that must be given again: TOKEN"),
        2,
        "given again: TOKEN. Pass each with --secret NAME",
    ),
    "not mine": (error(403, "forbidden", "you may see this job, but not run it again"), 2, "see"),
    "unknown": (error(404, "job_not_found", "no"), 2, f"Job {OLD} was not found"),
    "of a run": (error(409, "not_rerunnable", "it belongs to a run"), 2, "belongs to a run"),
    "too many jobs": (error(429, "too_many_jobs", "you have 9 jobs"), 3, "you have 9 jobs"),
    "the disk": (error(507, "disk_full", "the disk is nearly full"), 3, "nearly full"),
    "no job id": (reply_json({"id": 1}, 201), 3, "no job id"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(server, run, case):
    answer, code, told = REFUSALS[case]
    server.on(RERUN, answer)
    found = run("rerun", OLD)
    assert found[:2] == (code, b"")
    assert found[2].startswith("Error: ")
    assert told in found[2]
    assert len(server.asked(RERUN)) == 1, "it is not asked twice: that would be two jobs"


def test_a_server_that_is_too_old_is_told_from_one_that_is_none(server, run):
    server.on(f"GET /jobs/{OLD}", reply_json(DETAILS | {"job_id": OLD}))
    code, _, err = run("rerun", OLD)
    assert code == 2
    assert "is too old to run a job again. Submit the project again with `ci submit`" in err
    server.on(f"GET /jobs/{OLD}", error(404, "job_not_found", "no"))
    assert f"Job {OLD} was not found" in run("rerun", OLD)[2]
    server.routes.clear()
    assert "There is no CI server at" in run("rerun", OLD)[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("no id",), "was not found"),
        ((OLD, "--secret", "TOKEN=value"), "takes the NAME of an environment variable"),
        ((OLD, "--download", "--detach"), "cannot be combined with --detach"),
        ((OLD, "--path", "."), "No such option"),
    ],
)
def test_wrong_usage_asks_nothing(server, run, arguments, told):
    code, out, err = run("rerun", *arguments)
    assert (code, out) == (2, b"")
    assert told in err
    assert server.requests == []


def test_ctrl_c_cancels_the_new_job(server, start):
    server.on(RERUN, CREATED)
    server.on(STREAM, stream(event({"type": "log", "data": "up\n"}, 3), then="hang"))
    server.on(CANCEL, reply_json(DETAILS, 202))
    process = start("rerun", OLD)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    server.wait_for(CANCEL)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_the_library(accepting):
    assert rerun_job(OLD, accepting.url, secrets={"TOKEN": "a secret value"}) == JOB
    body = json.loads(accepting.asked(RERUN)[0].body)
    assert [*body["secrets"]] == ["TOKEN"]
    with pytest.raises(UsageError, match="too short"):
        rerun_job(OLD, accepting.url, secrets={"TOKEN": "short"})
    with pytest.raises(JobNotFound):
        rerun_job("what?", accepting.url)
    accepting.on(RERUN, error(410, "package_gone", "gone"))
    with pytest.raises(RequestRefused) as caught:
        rerun_job(OLD, accepting.url)
    assert (caught.value.code, caught.value.is_infrastructure) == ("package_gone", False)
