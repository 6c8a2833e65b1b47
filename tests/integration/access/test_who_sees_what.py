"""What the colleagues in a tenant see of each other's jobs, and what is private."""

import json

import pytest

from support import projects
from support.administration import Caller, create_key, create_user

TABLE = '[tool.ci.jobs.test]\ncommand = "true"\nprivate = true\n'
ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
def server(own_server):
    """Without a controller: these tests are about requests, not about jobs that run."""
    server = own_server(controller="external")
    for email in (ANN, BOB):
        create_user(server, email, "--tenant", "acme")
    return server.start()


def submit(caller, project=projects.ANY, **spec):
    files = {"file": ("project.zip", project, "application/zip")}
    return caller.submit(
        {"files": files, "data": {"spec": json.dumps({"labels": {"team": "a"}, **spec})}}
    )


def listed(caller, query=""):
    return {job["job_id"]: job["private"] for job in caller.ask("GET", f"/jobs{query}").json()}


def test_a_colleague_sees_what_is_not_private(server):
    ann = Caller(server, create_key(server, ANN))
    bob = Caller(server, create_key(server, BOB))
    viewer, admin = (
        Caller(server, create_key(server, BOB, "--role", role)) for role in ("viewer", "admin")
    )
    shared = submit(ann, command=["true"])
    secret = submit(ann, command=["true"], private=True)
    by_table = submit(ann, projects.table(TABLE))
    overridden = submit(ann, projects.table(TABLE), private=False)
    old = submit(ann, command=["true"])
    server.execute("UPDATE jobs SET visibility = 'viewers' WHERE job_id = ?", old)

    own = {shared: False, secret: True, by_table: True, overridden: False, old: False}
    assert listed(ann) == listed(admin) == own
    assert listed(bob) == {shared: False, overridden: False}
    assert listed(viewer) == {shared: False, overridden: False, old: False}
    assert [bob.status(f"/jobs/{one}") for one in own] == [200, 404, 404, 200, 404]
    assert [viewer.status(f"/jobs/{one}") for one in own] == [200, 404, 404, 200, 200]

    for query in (
        "?q=true",
        "?user=ann@example.com",
        "?name=test",
        "?label=team:a",
        "?sort=submitted",
    ):
        answer = bob.ask("GET", f"/jobs{query}&total=true&outcome=queued")
        assert {job["job_id"] for job in answer.json()} == {shared, overridden}
        assert answer.headers["X-Total-Count"] == "2"
        assert listed(ann, query) == own
        assert listed(bob, f"{query}&mine=true") == {}
    of_bob = submit(bob, projects.table(TABLE))
    assert listed(bob, "?mine=true") == {of_bob: True}
    assert listed(ann, "?mine=true") == own
    assert bob.status(f"/jobs?cursor={secret}") == 404
    assert bob.status(f"/jobs/{secret[:35]}") == bob.status(f"/jobs?cursor={secret[:35]}") == 404

    for method, path in (("POST", "cancel"), ("POST", "token")):
        assert bob.status(f"/jobs/{shared}/{path}", method) == 403
        assert bob.status(f"/jobs/{secret}/{path}", method) == 404
        assert ann.status(f"/jobs/{secret}/{path}", method) in (200, 202)
    assert bob.status(f"/jobs/{shared}/logs") == 200
    read = "SELECT user, job_id FROM audit WHERE action = 'read_log' AND outcome = 'allowed'"
    assert server.execute(read) == [(BOB, shared)], "that another one reads is recorded"
