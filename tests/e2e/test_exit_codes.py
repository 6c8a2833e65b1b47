"""What `ci` exits with, and what it says."""

import re

import pytest

from support import engine, projects
from support.fake_registry import NOT_FOUND, fake_registry
from support.live_server import free_port

pytestmark = pytest.mark.docker

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def write(directory, **files):
    return projects.write(directory / "project", {f"{k}.py": v for k, v in files.items()})


@pytest.mark.parametrize("name", ["ci", "ci-submit"])
def test_pass(user, tmp_path, name):
    write(tmp_path, test_it="def test_passes():\n    assert True\n")
    arguments = ["submit"] if name == "ci" else []
    done = user.run(*arguments, "--path", "project", name=name)
    assert done.code == 0
    assert b"test_it.py::test_passes PASSED" in done.out
    assert f"ci wait {done.job_id}" in done.err
    assert "passed" in done.err
    assert done.job_id not in done.text


def test_the_directory_is_the_current_one_by_default(user, tmp_path):
    directory = write(tmp_path, test_it="def test_passes():\n    assert True\n")
    assert user.run("submit", cwd=directory).code == 0


def test_fail(user, tmp_path):
    write(tmp_path, test_it="def test_fails():\n    assert 1 == 2\n")
    done = user.run("submit", "--path", "project")
    assert done.code == 1
    assert b"assert 1 == 2" in done.out
    assert "failed" in done.err


def test_syntax_error(user, tmp_path):
    write(tmp_path, test_it="def test_never(:\n")
    done = user.run("submit", "--path", "project")
    assert done.code == 1
    assert b"SyntaxError" in done.out


def test_any_exit_code_of_the_job_is_1(user, project):
    done = user.run("submit", "--path", project, "--", "sh", "-c", "exit 42")
    assert done.code == 1
    assert "42" in done.err


def test_timeout(user, project):
    table = "[tool.ci.jobs.test]\ncommand = 'echo on; sleep 99'\ntimeout = 3\n"
    (project / "pyproject.toml").write_text(table)
    done = user.run("submit", "--path", project)
    assert (done.code, done.out) == (5, b"on\n")
    assert "timed out" in done.err


def test_cancelled_by_somebody_else(server, user, project):
    running = user.start("submit", "--path", project, "--", *projects.ENDLESS)
    running.until_out(b"started")
    server.http.delete(f"/jobs/{running.job_id}")
    done = running.end()
    assert (done.code, done.out) == (4, b"started\n")
    assert "cancelled" in done.err


def test_out_of_memory_is_the_jobs_failure(user, project):
    script = "x = b'x' * 10**9"
    table = f"[tool.ci.jobs.test]\ncommand = ['python', '-c', \"{script}\"]\nmemory = 64\n"
    (project / "pyproject.toml").write_text(table)
    done = user.run("submit", "--path", project)
    assert done.code == 1
    assert "64 MiB" in done.err


def test_an_image_that_there_is_not_is_a_mistake(user, project):
    with fake_registry(NOT_FOUND) as registry:
        table = f"[tool.ci.jobs.test]\nimage = '{registry}/no/such:1'\n"
        (project / "pyproject.toml").write_text(table)
        done = user.run("submit", "--path", project)
        code, text = user.on_terminal("submit", "--path", project).end()
    assert done.code == code == 2
    assert text.count("is not on the engine and could not be pulled") == 1
    assert "\u2717 failed in " in text
    assert "infrastructure" not in done.err
    assert f"{registry}/no/such:1" in done.err
    assert done.out.startswith(b"ci: the job failed: image_unavailable: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["wait", UNKNOWN],
        ["logs", UNKNOWN],
        ["logs", "-f", UNKNOWN],
        ["logs", "--tail", "2", UNKNOWN],
        ["list"],
        ["status", UNKNOWN],
        ["cancel", UNKNOWN],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_server_that_is_down(user_of, project, arguments):
    url = f"http://127.0.0.1:{free_port()}"
    done = user_of(url).run(*arguments, cwd=project)
    assert (done.code, done.out) == (3, b"")
    assert url in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["no-such-command"],
        ["wait"],
        ["submit", "--"],
        ["submit", "--path", "no/such/directory"],
        ["submit", "--server", "ftp://x"],
        ["list", "--status", "sleeping"],
        ["logs", "--tail", "many", UNKNOWN],
    ],
    ids=" ".join,
)
def test_usage(user, arguments):
    done = user.run(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err


@pytest.mark.parametrize("job_id", [UNKNOWN, "no-id-at-all"])
@pytest.mark.parametrize("command", ["wait", "logs", "status", "cancel"])
def test_an_unknown_job(user, command, job_id):
    done = user.run(command, job_id)
    assert (done.code, done.out) == (1 if command == "wait" else 2, b"")
    assert "not found" in done.err
    assert job_id in done.err


def test_a_broken_table_is_told_at_submission(user, project):
    (project / "pyproject.toml").write_text("[tool.ci.jobs.test]\ncomand = 'x'\n")
    done = user.run("submit", "--path", project)
    assert (done.code, done.out) == (2, b"")
    assert "tool.ci.jobs.test.comand" in done.err


def test_a_named_job_of_the_table(user, project):
    table = "[tool.ci.jobs.lint]\ncommand = 'echo linting'\n"
    (project / "pyproject.toml").write_text(table)
    done = user.run("submit", "lint", "--path", project)
    assert (done.code, done.out) == (0, b"linting\n")
    done = user.run("submit", "lnt", "--path", project)
    assert (done.code, done.out) == (2, b"")
    assert "lint" in done.err


def test_a_command_of_ones_own(user, project):
    done = user.run("submit", "--path", project, "--", "echo", "--path", "--", "a  b", "$HOME")
    assert (done.code, done.out) == (0, b"--path -- a  b $HOME\n")


def test_another_server_by_option(server, user_of, project):
    line = user_of(f"http://127.0.0.1:{free_port()}")
    done = line.run("submit", "--server", server.url, "--path", project, "--", "echo", "here")
    assert (done.code, done.out) == (0, b"here\n")


@pytest.mark.parametrize("option", ["--async", "--detach"])
def test_async_then_wait(server, user, project, option):
    done = user.run("submit", option, "--path", project, "--", *projects.WAITING)
    assert done.code == 0
    job_id = re.fullmatch(r"Job submitted: ([0-9a-f-]{36})\n", done.text)[1]
    server.under_way(job_id, b"waiting")
    waiting = user.start("wait", job_id, "--all")
    waiting.until_out(b"waiting\n")
    engine.release(server, job_id)
    done = waiting.end()
    assert (done.code, done.out) == (0, b"waiting\nwent on\n")


def test_wait_on_a_finished_job(server, user):
    passed, _ = server.run(projects.ANY, ["echo", "hello"])
    done = user.run("wait", passed["job_id"])
    assert (done.code, done.out) == (0, b"")
    assert "already completed" in done.err
    done = user.run("wait", passed["job_id"], "--all")
    assert (done.code, done.out) == (0, b"hello\n")
    failed, _ = server.run(projects.ANY, ["false"])
    done = user.run("wait", failed["job_id"])
    assert done.code == 1
    assert "already completed" in done.err
