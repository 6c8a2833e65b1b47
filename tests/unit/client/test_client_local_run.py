"""`ci run` where no server can be. tests/e2e/test_local_run.py has the others."""

import os

import pytest

from ci_client.command import local_run
from ci_client.command.submitting import Submission
from ci_client.errors import UsageError
from ci_client.library.job_request import JobRequest
from ci_common.errors import UnknownJobNameError
from ci_server.submission.job_limits import DefaultLimits
from ci_server.submission.request import SubmissionRequest, resolve_spec

DEFAULTS = DefaultLimits(60.0, None, None, 64, 10, 7.0)
NOT_INSTALLED = "import sys\nfor name in ({}): sys.modules[name] = None\n"
"""As in tests/unit/client/test_client_portability.py: a sitecustomize."""


@pytest.fixture
def without(run, tmp_path):
    """Run `ci ARGUMENTS…` where these modules are not installed."""

    def without(modules, *arguments):
        (tmp_path / "blocked").mkdir()
        names = "".join(f"{name!r}," for name in modules)
        (tmp_path / "blocked/sitecustomize.py").write_text(NOT_INSTALLED.format(names))
        path = os.pathsep.join([str(tmp_path / "blocked"), os.getcwd()])
        return run(*arguments, through=["env", f"PYTHONPATH={path}"])

    return without


@pytest.mark.parametrize(
    "modules",
    [
        ("uvicorn", "fastapi", "docker", "pydantic", "pydantic_settings", "aiosqlite"),
        ("zstandard",),
    ],
    ids=["the client alone", "a part that only the server looks for"],
)
def test_without_the_servers_extra(without, modules):
    code, out, err = without(modules, "run", "--", "true")
    assert (code, out) == (2, b"")
    assert 'pip install "ci-runner[server]"' in err


@pytest.mark.parametrize("options", [["--detach"], ["--server", "x"], ["--priority", "1"]])
def test_options_that_need_a_server_that_stays(run, options):
    code, out, err = run("run", *options)
    assert (code, out) == (2, b"")
    assert f"No such option: {options[0]}" in err


def test_nothing_is_started_for_a_project_that_is_not_there(run):
    code, out, err = run("run", "--path", "nowhere")
    assert (code, out) == (2, b"")
    assert "Local server" not in err


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "it has: test. Jobs are configured as [tool.ci.jobs.NAME] in its pyproject.toml"),
        ("[tool.ci.jobs.lint]", "it has: lint, test. Jobs are configured as [tool.ci.jobs.NAME]"),
    ],
)
def test_nothing_is_started_for_a_job_that_there_is_not(run, project, table, told):
    if table:
        (project / "pyproject.toml").write_text(table)
    code, out, err = run("run", "nosuch")
    assert (code, out) == (2, b"")
    end = "To run a program: ci run -- nosuch\n"
    assert err.startswith(f"Error: the project has no job 'nosuch'; {told}"), err
    assert err.endswith(end)


def test_what_is_meant_is_said_of_the_command_that_was_typed(run):
    assert "For a directory: ci run --path .\n" in run("run", ".")[2]
    assert "To run a command: ci run -- make check\n" in run("run", "make", "check")[2]


def test_the_message_is_the_servers(project):
    with pytest.raises(UnknownJobNameError) as told:
        resolve_spec({"ci.toml": b"[jobs.lint]"}, SubmissionRequest(job="lnt"), DEFAULTS)
    (project / "ci.toml").write_text("[jobs.lint]")
    with pytest.raises(UsageError) as found:
        local_run.run(Submission(str(project), JobRequest("lnt")))
    assert found.value.message == told.value.message


def test_help_names_what_it_takes(run):
    code, out, _ = run("run", "--help")
    assert code == 0
    assert b"[-- COMMAND...]" in out
    assert b"--download" in out
