"""CI_MAX_PRIORITY: the highest priority of users' jobs, at every door; admins may go above."""

import json

import pytest

from support import projects
from support.administration import Caller, create_key, create_user, succeed
from support.archives import zip_bytes
from support.command_line import CommandLine
from support.live_server import LiveServer

CEILING = 3
ROLES = {
    "submitter": ("team", "submitter"),
    "admin": ("team", "admin"),
    "operator": ("local", "admin"),
    "submitter of the operator": ("local", "submitter"),
}
HELD = {name: role == "submitter" for name, (_, role) in ROLES.items()}
DOORS = ["/submit", "/submit-stream", "/submit-async"]


@pytest.fixture(scope="module")
def bounded(tmp_path_factory):
    """A server without a controller, where a stream of a submission would not end."""
    directory = tmp_path_factory.mktemp("bounded")
    with LiveServer(directory, controller="external", max_priority=CEILING) as server:
        for tenant in ("team", "local"):
            create_user(server, f"ann@{tenant}.example", "--tenant", tenant)
        yield server.start()


@pytest.fixture(scope="module")
def key_of(bounded):
    """By caller."""
    return {
        name: create_key(bounded, f"ann@{tenant}.example", "--role", role)
        for name, (tenant, role) in ROLES.items()
    }


def form(server, priority):
    files = server.form(projects.ANY)["files"]
    return {"files": files, "data": {"spec": json.dumps({"priority": priority})}}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("caller", [name for name, held in HELD.items() if held])
def test_above_it_users_are_refused_and_told(bounded, key_of, caller, door):
    before = bounded.rows()
    answer = Caller(bounded, key_of[caller]).ask("POST", door, **form(bounded, CEILING + 1))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_config")
    assert "priority of 4" in error["message"]
    assert "at most 3 (CI_MAX_PRIORITY)" in error["message"]
    assert bounded.rows() == before


def test_a_refusal_is_recorded(own_server):
    server = own_server(controller="external", max_priority=CEILING).start()
    create_user(server)
    answer = Caller(server, create_key(server)).ask("POST", "/submit-async", **form(server, 9))
    assert answer.status_code == 400
    (entry,) = map(
        json.loads, succeed(server, "audit", "--action", "prioritize", "--json").splitlines()
    )
    assert (entry["outcome"], entry["user"]) == ("denied", "ann@example.com")


@pytest.mark.parametrize("priority", [0, CEILING, CEILING + 1, 10])
@pytest.mark.parametrize("caller", ROLES)
def test_what_is_accepted_is_kept_as_it_was_asked_for(bounded, key_of, caller, priority):
    ask = Caller(bounded, key_of[caller])
    answer = ask.ask("POST", "/submit-async", **form(bounded, priority))
    if HELD[caller] and priority > CEILING:
        assert answer.status_code == 400
        return
    assert answer.status_code == 200, answer.text
    job = ask.ask("GET", f"/jobs/{answer.json()['job_id']}").json()
    assert job["priority"] == priority, "nothing is lowered in silence"


@pytest.mark.parametrize("caller", ROLES)
def test_a_job_that_asks_for_nothing_has_the_lowest(bounded, key_of, caller):
    ask = Caller(bounded, key_of[caller])
    job_id = ask.submit(bounded.form(projects.ANY))
    assert ask.ask("GET", f"/jobs/{job_id}").json()["priority"] == 0


@pytest.mark.parametrize("name", ["ci", "ci-submit"])
def test_the_command_line_tells_the_ceiling(bounded, key_of, tmp_path, name):
    (tmp_path / "a.txt").write_text("a")
    line = CommandLine(bounded.url, tmp_path)
    command = ["submit"] if name == "ci" else []
    arguments = [*command, "--priority", "9", "--detach", "--path", tmp_path]
    try:
        refused = line.run(*arguments, name=name, CI_API_KEY=key_of["submitter"])
        assert (refused.code, refused.out) == (2, b"")
        assert "at most 3 (CI_MAX_PRIORITY)" in refused.err
        accepted = line.run(*arguments, name=name, CI_API_KEY=key_of["admin"])
        assert (accepted.code, accepted.text[:13]) == (0, "Job submitted"), accepted.err
    finally:
        line.close()


def test_the_project_cannot_say_a_priority(bounded, key_of):
    """Its author need not be the one who is held to the ceiling."""
    project = zip_bytes({"ci.toml": "[jobs.test]\npriority = 9\n"})
    answer = Caller(bounded, key_of["admin"]).ask("POST", "/submit-async", **bounded.form(project))
    assert answer.json()["error"]["code"] == "invalid_config"
    assert "jobs.test.priority: is not a known key" in answer.json()["error"]["message"]


def test_by_default_there_is_no_ceiling(own_server):
    server = own_server(controller="external").start()
    create_user(server)
    ask = Caller(server, create_key(server))
    job_id = ask.submit(form(server, 10))
    assert ask.ask("GET", f"/jobs/{job_id}").json()["priority"] == 10
