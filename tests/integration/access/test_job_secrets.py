"""Secrets over the native API: what is refused, and what backups hold of them."""

import base64
import json
import tarfile

import pytest

from support.archives import zip_bytes
from support.live_server import LiveServer

TOKEN = "correct-horse-battery"
PROJECT = zip_bytes({"a.txt": b"a"})


def part(**values):
    return json.dumps(
        {
            name: {"value": base64.b64encode(value.encode()).decode()}
            for name, value in values.items()
        }
    )


def submit(server, secrets, command=("true",)):
    form = server.form(PROJECT, list(command))
    form["data"]["secrets"] = secrets
    return server.http.post("/submit-async", **form)


@pytest.mark.parametrize(
    "secrets",
    [
        "not json " + TOKEN,
        "[]",
        json.dumps({"TOKEN": TOKEN}),
        json.dumps({"TOKEN": {"value": "not base64 " + TOKEN}}),
        json.dumps({"TOKEN": {"value": "Y29ycmVjdC1ob3JzZQ==", "more": 1}}),
        json.dumps({"TOKEN": {"value": "Y29ycmVjdC1ob3JzZQ==", "environment": 1}}),
        json.dumps({TOKEN: {"value": "Y29ycmVjdC1ob3JzZQ=="}}),
        part(TOKEN="short"),
        part(PATH=TOKEN),
        '{"A": {"value": "Y29ycmVjdC1ob3JzZQ=="}, "A": {"value": "Y29ycmVjdC1ob3JzZQ=="}}',
    ],
)
def test_what_is_refused_is_not_repeated(shared_process_server, secrets):
    answer = submit(shared_process_server, secrets)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_secret")
    assert TOKEN not in answer.text
    assert shared_process_server.stored_files() == []
    assert [*shared_process_server.data.glob("secrets/*")] == []


def test_too_many_bytes_and_unknown_names(shared_process_server):
    answer = submit(shared_process_server, "x" * (257 << 10))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_upload")
    table = b"[jobs.test]\nsecrets = ['NOT_HERE']\n"
    form = shared_process_server.form(zip_bytes({"ci.toml": table}))
    answer = shared_process_server.http.post("/submit-async", **form)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_secret")
    assert "NOT_HERE" in answer.json()["error"]["message"]


def test_a_value_in_the_command_is_refused(shared_process_server):
    answer = submit(shared_process_server, part(TOKEN=TOKEN), ["echo", f"user:{TOKEN}"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_secret")
    assert TOKEN not in answer.text


@pytest.fixture(scope="module")
def shared_process_server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("secrets")
    with LiveServer(directory, executor="process", controller="external") as server:
        yield server.start()


def test_a_key_that_is_none_is_told_at_the_start(own_server):
    server = own_server(executor="process")
    server.environment["CI_SECRET_KEY"] = "too-short"
    with pytest.raises(pytest.fail.Exception):
        server.start()
    said = server.log_tail()
    assert "openssl rand" in said
    assert "too-short" not in said


def test_backups_hold_neither_key_nor_secrets_of_jobs(own_server, tmp_path):
    server = own_server(controller="external", executor="process").start()
    job_id = submit(server, part(TOKEN=TOKEN)).json()["job_id"]
    server.terminate()
    backup = tmp_path / "backup.tar"
    assert server.admin("backup", backup).returncode == 0
    with tarfile.open(backup) as archive:
        assert not [name for name in archive.getnames() if "secret" in name]
    key = (server.data / "secret.key").read_bytes().strip()
    assert key not in backup.read_bytes()

    copy = own_server("copy", executor="process")
    assert copy.admin("restore", backup).returncode == 0
    copy.start().ready()
    job = copy.finished(job_id)
    assert (job["status"], job["reason"]) == ("failed", "secrets_unavailable")
    assert "submit the job again" in job["message"]
