"""`ci rerun` with a real server, engine and command line."""

import json

import pytest

pytestmark = pytest.mark.docker

TABLE = """
[tool.ci.jobs.test]
command = ["sh", "-c", "cat message; echo $LEVEL; mkdir out; cp message out/"]
artifacts = ["out/*"]
env = {LEVEL = "3"}
"""


def test_a_job_is_run_again_with_what_it_was_submitted_with(user, project):
    (project / "pyproject.toml").write_text(TABLE)
    (project / "message").write_text("the first message\n")
    first = user.run("submit", "--path", project, "--no-install", "--env", "LEVEL=4")
    assert (first.code, first.out) == (0, b"the first message\n4\n")
    (project / "message").write_text("another message\n")  # which nobody sends
    again = user.run("rerun", first.job_id[:8], "--download=kept", cwd=project)
    assert (again.code, again.out) == (0, first.out), again.err
    assert (project / "kept/out/message").read_text() == "the first message\n"
    told = json.loads(user.run("status", again.job_id, "--json").out)
    assert told["rerun_of"] == first.job_id != told["job_id"]
    assert f"Rerun of:   {first.job_id}" in user.run("status", again.job_id).text
    third = user.run("rerun", cwd=project)
    assert (third.code, third.out) == (0, first.out)
    assert f"Running your newest job again: {again.job_id}" in third.err
    listed = json.loads(user.run("list", "--json", "--limit", "2").out)
    assert [job["rerun_of"] for job in listed] == [again.job_id, first.job_id]


def test_secrets_and_failures(user, project):
    script = 'echo "${#TOKEN} $TOKEN"; exit 7'
    first = user.run(
        *("submit", "--path", project, "--secret", "TOKEN", "--", "sh", "-c", script),
        TOKEN="a secret value",
    )
    assert (first.code, first.out) == (1, b"14 **************\n")
    refused = user.run("rerun", first.job_id)
    assert (refused.code, refused.out) == (2, b"")
    assert "must be given again, because their values are not kept: TOKEN" in refused.err
    again = user.run("rerun", first.job_id, "--secret", "TOKEN", TOKEN="another value")
    assert (again.code, again.out) == (1, b"13 *************\n")


def test_on_a_terminal(user, project):
    first = user.run("submit", "--path", project, "--", "cat", "readme.txt")
    code, text = user.on_terminal("rerun", first.job_id, columns=120).end()
    assert code == 0
    assert "a project\r\n" in text
    assert text.count("Watch it ") == 1


def test_a_server_that_keeps_no_packages(own_server, user_of, project):
    server = own_server(keep_packages_days=0).start().ready()
    user = user_of(server.url)
    first = user.run("submit", "--path", project, "--", "true")
    server.until(server.stored_files, lambda files: files == [], "no package")
    gone = user.run("rerun", first.job_id)
    assert (gone.code, gone.out) == (2, b"")
    assert "is not kept any more, so it cannot be run again; submit the project again" in gone.err
