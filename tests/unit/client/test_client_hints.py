"""Hints at the end of a job that failed as many first submissions do."""

import shlex

import pytest

from ci_client.command.hints import LogTail, hint
from ci_client.library.shell_line import pasted_command

FAILED = {"status": "completed", "success": False, "reason": "exit", "exit_code": 1}


@pytest.mark.parametrize(
    ("changes", "log", "told"),
    [
        ({}, "ModuleNotFoundError: No module named 'six'\n", "six could not be imported"),
        ({}, "ImportError: No module named yaml.loader", "yaml.loader could not"),
        ({"exit_code": 127}, "sh: 1: npm: not found\n", "a command was not found"),
        (
            {"tests": {"failures": [{"message": "E ModuleNotFoundError: No module named 'x'"}]}},
            "",
            "x could not be imported",
        ),
        ({}, "No module named 'a'\nModuleNotFoundError: No module named 'b'", "Hint: b could"),
        (
            {"exit_code": 127},
            "sh: 1: exec: python t.py one: not found\n",
            "Did you mean: ci submit -- python t.py one",
        ),
        (
            {"exit_code": 127},
            "sh: 1: exec: echo 'hi' && echo bye: not found\n",
            """Did you mean: ci submit -- sh -c 'echo '"'"'hi'"'"' && echo bye'""",
        ),
        (
            {"exit_code": 4},
            "python -m pytest: error: unrecognized arguments: --cov=parse --cov-branch -n auto\n",
            'set install = ["-e .", "pytest-cov", "pytest-xdist"]',
        ),
        (
            {"exit_code": 4},
            "__main__.py: error: unrecognized arguments: --own-option\n",
            "does not know --own-option. A plugin is missing",
        ),
        ({"exit_code": 5}, "=== no tests ran in 0.01s ===\n", "pytest found no tests"),
    ],
    ids=range(10),
)
def test_hints(changes, log, told):
    assert told in hint(FAILED | changes, log)


def test_colours_hide_nothing():
    tail = LogTail()
    tail.add(b"\x1b[1;35mModuleNotFoundError\x1b[0m: \x1b[35mNo module named 'six'\x1b[0m\r\n")
    assert "Hint: six could not" in hint(FAILED, tail.text)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"success": True, "exit_code": 0},
        {"status": "cancelled", "exit_code": 127},
        {"status": "failed", "reason": "timeout", "exit_code": 127},
        {"exit_code": 4},
        {"exit_code": 5},
        {"tests": None},
        {"tests": {"failures": None}},
        {"tests": {"failures": [{}]}},
    ],
    ids=range(9),
)
def test_nothing_to_say(changes):
    log = "" if changes.get("success") is None else "ModuleNotFoundError: No module named 'x'"
    assert hint(FAILED | changes, log) is None


def test_a_name_cannot_garble_the_terminal():
    log = "ModuleNotFoundError: No module named 'x\x1b[31m'"
    assert "\x1b" not in hint(FAILED, log)


def test_only_the_end_of_the_log_is_kept():
    tail = LogTail()
    tail.add(b"ModuleNotFoundError: No module named 'early'\n")
    for _ in range(100):
        tail.add(b"x" * 1000)
    tail.add(b"\xff late")
    assert len(tail.text) <= 16 * 1024
    assert tail.text.endswith("\ufffd late")
    tail.add(b"y" * 100_000)
    assert set(tail.text) == {"y"}


@pytest.mark.parametrize(
    "line",
    [
        *("a && b", "a | b", "a; b", "a > b", "a < b", "a *", "a `b`", "a $(b)", "a $B", "a\nb"),
        *("A=1 b", "a ~", "a (b)", "a {b,c}", "a \\", "a !b", "a\rb", "a #b", "a 'b"),
    ],
)
def test_a_line_for_a_shell_is_pasted_as_one_argument(line):
    assert shlex.split(pasted_command(line)) == ["sh", "-c", line]


@pytest.mark.parametrize("line", ["python t.py one", 'pytest -k "a or b" x/y.py::t', "make A=b"])
def test_other_lines_are_pasted_as_they_are(line):
    assert pasted_command(line) == line
