"""On a terminal: nothing broken, nothing twice, nothing left over."""

import os
import re

import pytest

from support import projects

pytestmark = pytest.mark.docker

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


def screen(shown):
    """The lines a terminal would show, for what our program sends: a small emulator."""
    lines, row, column = [""], 0, 0
    for piece in re.split(rf"({CONTROL.pattern}|\r|\n)", shown):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif match := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row = max(0, row - int(match[1] or 1))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece and not CONTROL.fullmatch(piece):
            line, end = lines[row].ljust(column), column + len(piece)
            lines[row] = line[:column] + piece + line[end:]
            column = end
    return [line.rstrip() for line in lines]


def test_submit(user, project):
    script = "for i in 1 2 3; do echo line $i; done; printf 'no end'"
    code, text = user.on_terminal("submit", "--path", project, "--", "sh", "-c", script).end()
    shown = [line for line in screen(text) if not line.startswith("status: ")]
    assert code == 0
    assert shown[0].startswith("Job ")
    at = shown.index("line 1")
    assert shown[at : at + 4] == ["line 1", "line 2", "line 3", "no end"]
    assert shown[at + 4].startswith("\u2713 passed in ")
    assert shown[at + 5 :] == [""]
    assert "\x1b" not in text  # a small upload needs no progress bar


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


def test_list_and_status(server, user):
    job, _ = server.run(projects.ANY, ["true"])
    code, text = user.on_terminal("list", "--limit", "1").end()
    assert code == 0
    assert job["job_id"] in text.splitlines()[1]
    code, text = user.on_terminal("status", job["job_id"]).end()
    assert code == 0
    assert job["job_id"] in text


@pytest.mark.parametrize("command", ["", "submit", "wait", "logs", "list", "status", "cancel"])
def test_help(user, command):
    code, text = user.on_terminal(*command.split(), "--help").end()
    assert code == 0
    assert "Usage: ci" in text
