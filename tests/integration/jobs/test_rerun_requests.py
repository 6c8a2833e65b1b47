"""`POST /jobs/{id}/rerun` over HTTP: what is sent, what is answered, and what is refused."""

import base64
import json

import pytest

from support import projects
from support.live_server import LiveServer

VALUE = base64.b64encode(b"a secret value").decode()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A server without a controller, so that jobs stay queued."""
    directory = tmp_path_factory.mktemp("reruns")
    with LiveServer(directory, controller="external", hardened=True) as server:
        yield server.start()


def submitted(server, secrets=None):
    form = server.form(projects.ANY, ["true"])
    if secrets:
        form["data"]["secrets"] = json.dumps(secrets)
    answer = server.http.post("/submit-async", **form)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"]


def rerun(server, job_id, **body):
    return server.http.post(f"/jobs/{job_id}/rerun", **body)


def refused(answer, status, code, told):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert told in error["message"]
    assert VALUE not in answer.text


def test_the_answer_is_the_new_job(idle):
    old = submitted(idle)
    answer = rerun(idle, old)
    assert answer.status_code == 201
    job = answer.json()
    assert (job["rerun_of"], job["status"]) == (old, "queued")
    assert answer.headers["location"] == f"{idle.url}/jobs/{job['job_id']}"
    shown, (listed, *_) = (
        idle.http.get(url).json() for url in (answer.headers["location"], "/jobs")
    )
    assert {name: shown[name] for name in job} == job
    assert {name: listed[name] for name in job} == job
    before = idle.job(old)
    differing = {name for name in job if before[name] != job[name]}
    assert differing == {"job_id", "rerun_of", "submit_time"}


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"json": {"secrets": None}}])
def test_without_secrets_a_body_may_be_left_out(idle, body):
    assert rerun(idle, submitted(idle), **body).status_code == 201


def test_secrets_are_given_again(idle):
    old = submitted(idle, {"TOKEN": {"value": VALUE}})
    refused(rerun(idle, old), 400, "secrets_needed", "TOKEN")
    answer = rerun(idle, old, json={"secrets": {"TOKEN": {"value": VALUE, "environment": False}}})
    assert (answer.status_code, answer.json()["secrets"]) == (201, ["TOKEN"])
    stored = {path.stem for path in idle.data.glob("secrets/*.enc")}
    assert stored == {old, answer.json()["job_id"]}


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({"content": b"{}"}, "invalid_request", "Content-Type: application/json"),
        ({"data": {"secrets": "{}"}}, "invalid_request", "Content-Type: application/json"),
        ({"content": b"", "headers": {**JSON, "Transfer-Encoding": "chunked"}}, "invalid_request",
         ""),
        ({"content": b"[]", "headers": JSON}, "invalid_request", "object"),
        ({"json": {"secret": {}}}, "invalid_request", "secret: is not a known key"),
        ({"json": {"secrets": {"A": VALUE}}}, "invalid_request", "secrets.A"),
        ({"json": {"secrets": {"A": {"value": f"{VALUE}?"}}}}, "invalid_secret", "of A is no"),
        ({"json": {"secrets": {"A": {"value": VALUE, "x": 1}}}}, "invalid_secret", "that of A"),
        ({"json": {"secrets": {"PATH": {"value": VALUE}}}}, "invalid_secret", "PATH"),
        ({"content": b'{"secrets": {}, "secrets": {}}', "headers": JSON}, "invalid_request",
         "duplicate key"),
    ],
)  # fmt: skip
def test_other_bodies_are_refused(idle, body, code, told):
    job_id, before = submitted(idle), idle.rows()
    refused(rerun(idle, job_id, **body), 400, code, told)
    assert idle.rows() == before


def test_what_is_not_there(idle):
    missing = "00000000-0000-4000-8000-000000000000"
    refused(rerun(idle, missing), 404, "job_not_found", missing)
    job_id = submitted(idle)
    (idle.data / "packages" / f"{job_id}.zip").unlink()
    refused(rerun(idle, job_id), 410, "package_gone", "submit the project again")
    assert f"{job_id}.zip" not in idle.stored_files()


def test_quotas_are_those_of_submissions(own_server):
    server = own_server(controller="external", max_live_jobs_per_tenant=2).start()
    job_id = submitted(server)
    assert rerun(server, job_id).status_code == 201
    refused(rerun(server, job_id), 429, "too_many_jobs", "2 are allowed")
    assert len(server.stored_files()) == 2
