"""On a terminal: nothing broken, nothing twice, nothing left over."""

import json
import os

import pytest

from support import projects
from support.command_line import job_id_in
from support.screen import screen

pytestmark = pytest.mark.docker


def test_submit(server, user, project):
    script = "for i in 1 2 3; do echo line $i; done; printf 'no end'"
    code, text = user.on_terminal("submit", "--path", project, "--", "sh", "-c", script).end()
    shown = screen(text)
    assert code == 0
    job_id = job_id_in(text)
    assert shown[0] == f"Job {job_id}. Watch it with: ci wait {job_id[:8]}"
    assert shown[1:5] == ["line 1", "line 2", "line 3", "no end"]
    assert shown[5].startswith("\u2713 passed in ")
    assert shown[6:] == [""]
    assert "uploading" not in text  # a small upload needs no progress bar


def test_a_large_upload_has_a_progress_bar_that_goes_away(user, project):
    (project / "large.bin").write_bytes(os.urandom(30 << 20))
    code, text = user.on_terminal("submit", "--path", project, "--", "echo", "done").end()
    assert code == 0
    assert "uploading" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
    shown = screen(text)
    assert not any("uploading" in line for line in shown)
    assert shown.count("done") == 1


def test_pytests_colours_are_the_jobs_own_business(user, project):
    projects.write(project, {"test_it.py": "def test_passes():\n    assert True\n"})
    command = ["python", "-m", "pytest", "--color=yes", "-q"]
    code, text = user.on_terminal("submit", "--path", project, "--", *command).end()
    assert code == 0
    assert "\x1b[32m" in text


COLORED = (
    "import os; print('colours:', os.environ.get('FORCE_COLOR'), os.environ.get('CLICOLOR_FORCE'))"
)
COLORS, NO_COLORS = "colours: 1 1", "colours: None None"


@pytest.mark.parametrize(
    ("options", "variables", "told"),
    [
        ([], {}, COLORS),
        (["--color", "never"], {}, NO_COLORS),
        ([], {"NO_COLOR": "1"}, NO_COLORS),
        (["--color", "always"], {"NO_COLOR": "1"}, COLORS),
    ],
)
def test_a_job_is_told_that_the_terminal_has_colours(user, project, options, variables, told):
    command = ["--", "python", "-c", COLORED]
    submitted = user.on_terminal("submit", "--path", project, *options, *command, **variables)
    code, text = submitted.end()
    assert code == 0
    assert told in screen(text)


@pytest.mark.parametrize(("options", "told"), [([], NO_COLORS), (["--color", "always"], COLORS)])
def test_through_a_pipe_a_job_is_told_only_if_asked(user, project, options, told):
    done = user.run("submit", "--path", project, *options, "--", "python", "-c", COLORED)
    assert (done.code, done.text) == (0, f"{told}\n")


def test_the_table_has_the_last_word_on_colours(user, project):
    table = '[jobs.test]\nenv = { NO_COLOR = "1" }\n'
    (project / "ci.toml").write_text(table)
    submitted = user.on_terminal("submit", "--path", project, "--", "python", "-c", COLORED)
    code, text = submitted.end()
    assert code == 0
    assert NO_COLORS in screen(text)


def test_pytest_has_colours_on_a_terminal_by_itself(user, project):
    projects.write(project, {"test_it.py": "def test_passes():\n    assert True\n"})
    command = ["python", "-m", "pytest", "-q"]
    code, text = user.on_terminal("submit", "--path", project, "--", *command).end()
    assert code == 0
    assert "\x1b[32m" in text
    done = user.run("submit", "--path", project, "--", *command)
    assert done.code == 0
    assert b"\x1b" not in done.out


def test_the_summary_of_tests_has_none(user, project):
    """pytest writes them into its report, too."""
    projects.write(project, {"test_it.py": "def test_it():\n    assert {'k': 1} == {'k': 2}\n"})
    command = ["python", "-m", "pytest", "-q"]
    submitted = user.on_terminal("submit", "--path", project, "--", *command)
    code, text = submitted.end()
    assert (code, "\x1b[31m" in text) == (1, True)
    told = json.loads(user.run("status", job_id_in(text), "--json").text)["tests"]["failures"]
    message = "AssertionError: assert {'k': 1} == {'k': 2}\n  \n  Differing items:\n"
    assert told[0]["message"].startswith(message)
    assert "x1B[" not in told[0]["message"]


def test_a_terminal_for_the_job(user, project):
    """Whether there is one here or not; the question is not answered, and does not wait."""
    table = """[jobs.test]
tty = true
env = { COLUMNS = "100" }
command = "stty size; python -c 'input(\\"name? \\")' 2>&1 | tail -n 1; exit 3"
"""
    (project / "ci.toml").write_text(table)
    done = user.run("submit", "--path", project)
    assert done.code == 1
    assert done.out == b"24 100\r\nEOFError: EOF when reading a line\r\n"
    done = user.run("submit", "--path", project, "--no-tty", "--", "tty")
    assert done.out == b"not a tty\n"
    (project / "ci.toml").unlink()
    done = user.run("submit", "--path", project, "--tty", "--", "sh", "-c", "tty; exit 0")
    assert (done.code, done.out.startswith(b"/dev/pts/")) == (0, True)


def test_list_and_status(server, user):
    job, _ = server.run(projects.ANY, ["true"])
    code, text = user.on_terminal("list", "--limit", "1").end()
    assert code == 0
    assert text.splitlines()[1].startswith(f"{job['job_id'][:8]} ")
    code, text = user.on_terminal("status", job["job_id"]).end()
    assert code == 0
    assert f"Job:        {job['job_id'][:8]}\r\n" in text
    assert json.loads(user.run("status", job["job_id"], "--json").text)["job_id"] == job["job_id"]
    assert f"Job:        {job['job_id']}\n" in user.run("status", job["job_id"]).text


@pytest.mark.parametrize(
    "command",
    ["", "submit", "wait", "logs", "list", "status", "cancel", "model", "model submit"],
)
def test_help(user, command):
    code, text = user.on_terminal(*command.split(), "--help").end()
    assert code == 0
    assert "Usage: ci" in text
