"""`ci submit --image, --env, --env-file, --artifacts, --memory, --cpu, --download, --json`."""

import json

import pytest
from client_scripted_artifacts import serve, tree
from client_scripted_server import (
    JOB,
    STREAM,
    answer_commands,
    complete,
    error,
    log,
    reply_json,
    status,
    stream,
)

from ci_client.errors import UsageError
from ci_client.library.job_options import read_variables
from ci_server.apis.native.submitted import FIELDS


@pytest.fixture
def server(server):
    answer_commands(server)
    server.on("GET /limits", reply_json({"fields": FIELDS}))
    server.on(STREAM, stream(status("running", 0), log("hello\n", 6), complete()))
    return server


def spec_sent(server):
    body = server.asked("POST /submit-async")[0].body
    return json.loads(body.partition(b'name="spec"\r\n\r\n')[2].partition(b"\r\n--")[0])


def test_all_of_them(server, run, project):
    (project.parent / "vars").write_text("# mine\n\nexport A=of the file\nQUOTED='a b'\nE=\n")
    options = "--image python:3.13 --env A=1 --env B=x=y --env HERE --env-file ../vars --memory 1GB"
    more = "--cpu 150 --artifacts out/** --artifacts *.xml --color never"
    code, _, err = run("submit", *options.split(), *more.split(), through=["env", "HERE=h"])
    assert code == 0, err
    assert spec_sent(server) == {
        "job": None,
        "command": None,
        "image": "python:3.13",
        "env": {"A": "1", "QUOTED": "a b", "E": "", "B": "x=y", "HERE": "h"},
        "artifacts": ["out/**", "*.xml"],
        "cpu": 150,
        "memory": "1GB",
    }


def test_memory_without_a_unit_is_mebibytes(server, run):
    assert run("submit", "--memory", "512")[0] == 0
    assert spec_sent(server)["memory"] == 512


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--image", "a b"], "image must be an image name"),
        (["--env", "NOWHERE"], "--env NOWHERE: the environment variable NOWHERE is not set"),
        (["--env", "=x"], "is not a valid variable name"),
        (["--env", "A B=1"], "'A B' is not a valid variable name"),
        (["--env", "1A=x"], "not beginning with a digit"),
        (["--env", "a.b=x"], "'a.b' is not a valid variable name"),
        (["--env-file", "nothing"], "--env-file: nothing cannot be read"),
        (["--memory", "lots"], "memory: 'lots' is not allowed; it must be an integer (MiB), or"),
        (["--memory", "8"], "memory must be at least 16 (MiB)"),
        (["--cpu", "0"], "'--cpu': 0 is not in the range"),
        (["--detach", "--download"], "--download waits for the job to end"),
    ],
)
def test_what_is_refused_before_anything_is_sent(server, run, arguments, says):
    code, out, err = run("submit", *arguments)
    assert (code, out) == (2, b"")
    assert says in err
    assert server.asked("POST /submit-async") == []


def test_an_older_server_is_not_asked_for_what_it_does_not_know(server, run):
    server.on("GET /limits", reply_json({"fields": ["job", "command"]}))
    code, _, err = run("submit", "--image", "x", "--cpu", "100")
    assert code == 2
    assert "is too old to support image, cpu" in err
    assert server.asked("POST /submit-async") == []


def test_a_line_of_a_file_that_sets_no_variable(tmp_path):
    (tmp_path / "vars").write_text("A=1\nsecret-value\n")
    with pytest.raises(UsageError, match=r"line 2 of .*vars is not NAME=VALUE") as told:
        read_variables([str(tmp_path / "vars")], [])
    assert "secret" not in told.value.message


# ------------------------------------------------------------------ --download


@pytest.mark.parametrize(
    ("option", "directory"),
    [(["--download=got"], "got"), (["--download", "lint"], f"project-artifacts-{JOB[:8]}")],
)
def test_artifacts_are_fetched_at_the_end(server, run, project, option, directory):
    (project / "ci.toml").write_text("[jobs.lint]\n")
    serve(server, {"out/a.txt": b"12"})
    code, out, err = run("submit", *option)
    assert (code, out) == (0, b"hello\n")
    assert f"1 artifact (2 B) in {directory}" in err
    assert tree(project / directory) == {"out/a.txt": b"12"}


def test_artifacts_of_a_job_that_failed(server, run, project):
    serve(server, {"report.xml": b"<"})
    server.on(STREAM, stream(complete(success=False, exit_code=1)))
    assert run("submit", "--download=got")[0] == 1
    assert tree(project / "got") == {"report.xml": b"<"}


@pytest.mark.parametrize(("passed", "expected"), [(True, 2), (False, 1)])
def test_artifacts_that_cannot_be_had(server, run, passed, expected):
    serve(server, {"a": b"12"})
    server.on(f"GET /jobs/{JOB}/artifacts/a", error(404, "artifact_not_found", "it is gone"))
    server.on(STREAM, stream(complete(success=passed, exit_code=int(not passed))))
    code, _, err = run("submit", "--download=got")
    assert code == expected
    assert "'a': it is gone" in err


def test_no_artifacts(server, run, project):
    serve(server, {})
    assert run("submit", "--download=got")[0] == 0


# ------------------------------------------------------------------ --json


def test_events_as_lines(server, run):
    code, out, err = run("submit", "--json")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events] == ["job_id", "status", "log", "complete"]
    assert events[0] == {"type": "job_id", "job_id": JOB}
    assert events[2]["data"] == "hello\n"
    assert events[3]["success"] is True
    assert "passed in " in err


def test_the_event_of_a_job_that_is_not_watched(server, run):
    code, out, _ = run("submit", "--json", "--detach")
    assert (code, json.loads(out)) == (0, {"type": "job_id", "job_id": JOB})
    assert server.asked(STREAM) == []
