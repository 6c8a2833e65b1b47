"""The recipe for commit statuses: the real example, between a real server and stand-in forges."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from standardwebhooks import Webhook

from ci_common.webhook_signing import new_signing_key, secret_text
from support import projects
from support.administration import succeed
from support.live_server import ROOT
from support.receivers import Answer, Receiver

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LABELS = {"git.commit": COMMIT, "git.dirty": "false", "git.remote": "https://forge.example/a/b.git"}
FORGES = {
    "github": (f"/repos/a/b/statuses/{COMMIT}", "authorization", "Bearer t0ken"),
    "gitlab": (f"/projects/a%2Fb/statuses/{COMMIT}", "private-token", "t0ken"),
    "gitea": (f"/repos/a/b/statuses/{COMMIT}", "authorization", "token t0ken"),
}
STATES = {
    "github": ("pending", "failure"),
    "gitlab": ("running", "failed"),
    "gitea": ("pending", "failure"),
}


@contextlib.contextmanager
def example(forge, api, secret, directory):
    """The program; yields its URL."""
    log = directory / f"{forge}.log"
    arguments = (forge, "--api", api, "--repository", "a/b", "--port", "0")
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "commit_status.py", *arguments],
        env={**os.environ, "WEBHOOK_SECRET": secret, "FORGE_TOKEN": "t0ken", "NO_PROXY": "*"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r":(\d+)$", process.stderr.readline().strip())
        yield f"http://127.0.0.1:{found[1]}/"
    finally:
        process.kill()
        log.write_text(process.stderr.read())
        process.wait()
        process.stderr.close()


def test_statuses_on_each_forge(own_server, python_for_jobs, tmp_path):
    server = own_server(
        python=python_for_jobs,
        executor="process",
        webhook_networks="127.0.0.1/32",
        public_url="https://ci.example.com",
    )
    server.start().ready()
    secret = secret_text(new_signing_key())
    (tmp_path / "secret").write_text(secret)
    with contextlib.ExitStack() as stack:
        forges = {}
        for forge in FORGES:
            forges[forge] = stack.enter_context(Receiver(answer_of(forge)))
            url = stack.enter_context(example(forge, forges[forge].url, secret, tmp_path))
            events = ("--event", "started", "--event", "finished")
            given = ("--secret-file", tmp_path / "secret")
            succeed(server, "webhook", "add", url, *events, *given)
        form = server.form(projects.ANY)
        form["data"] = {"spec": json.dumps({"command": ["sh", "-c", "exit 3"], "labels": LABELS})}
        job_id = server.http.post("/submit-async", **form).json()["job_id"]
        for forge, (path, header, value) in FORGES.items():
            # The forge was down at first, so the first status came again.
            first, again, last = forges[forge].wait_for(3)
            told = [json.loads(request.body) for request in (first, again, last)]
            assert {request.path for request in (first, again, last)} == {path}
            assert last.headers[header] == value
            assert {one["context"] for one in told} == {"ci/test"}
            assert {one["target_url"] for one in told} == {
                f"https://ci.example.com/ui/jobs/{job_id}"
            }
            assert told[0]["state"] == STATES[forge][0]
            assert {one["state"] for one in told} == set(STATES[forge])


def answer_of(forge):
    """A forge that is down at first; GitLab refuses a status that it has."""
    seen = []

    def answer(request):
        seen.append(request)
        if len(seen) == 1:
            return Answer(503)
        if forge == "gitlab" and len(seen) == 2:
            return Answer(400, body=b'{"message": "Cannot transition status via :run"}')
        return Answer(201, body=b"{}")

    return answer


def message(kind="job.finished", labels=LABELS, **facts):
    facts = {"status": "completed", "exit_code": 0, "message": "m", **facts}
    job = {"name": "test", "labels": labels, "url": None}
    return json.dumps({"type": kind, "data": {"facts": facts, "job": job}})


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A function that sends a body to the example, signed or not; what the forge was told; and the
    example's URL.
    """
    secret = secret_text(new_signing_key())
    with (
        Receiver() as forge,
        example("github", forge.url, secret, tmp_path_factory.mktemp("recipe")) as url,
    ):

        def send(body, key=secret, age=0):
            at = datetime.now(UTC) - timedelta(seconds=age)
            headers = {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": f"v1,AAAA {Webhook(key).sign('msg_1', at, body)}",
            }
            return httpx.post(
                url, content=body, headers=headers, trust_env=False, timeout=60
            ).status_code

        yield send, forge, url


def test_what_sets_no_status(recipe):
    send, forge, url = recipe
    other = {**LABELS, "git.remote": "https://forge.example/a/other.git"}
    assert send(message(), key=secret_text(new_signing_key())) == 401
    assert send(message(), age=301) == 401
    assert send(message(labels={})) == 204
    assert send(message(labels={**LABELS, "git.dirty": "true"})) == 204
    assert send(message(labels=other)) == 204
    assert send(message(labels={**LABELS, "git.commit": ".."})) == 204
    assert send(message("job.submitted")) == 204
    assert send(json.dumps({"type": "ci.test", "data": {}})) == 204
    with socket.create_connection(("127.0.0.1", httpx.URL(url).port), 10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n")  # without an end
        assert b" 411 " in connection.recv(100)
    assert forge.received == []
    assert send(message(status="cancelled", exit_code=None)) == 204
    assert send(message(labels={**LABELS, "git.remote": "forge.example:a/b.git"})) == 204
    assert [json.loads(one.body)["state"] for one in forge.received] == ["error", "success"]
