"""What a job is at, on one line of a terminal that is rewritten; and where there is none."""

import json
import re

import pytest

from support import engine, projects
from support.command_line import job_id_in
from support.screen import CONTROL, screen
from support.waiting import until_sync

pytestmark = pytest.mark.docker

FULL = "the server has reached its limit of running jobs"
OUTPUT = "printf 'one\\ntwo\\nno end'"


@pytest.fixture
def user(user_of, single):
    return user_of(single.url)


def submitted(user, project, *options, command=("sh", "-c", OUTPUT), **on_terminal):
    arguments = ("submit", "--path", project, *options, "--", *command)
    return user.on_terminal(*arguments, **on_terminal)


def drawn(text):
    """What was shown on a line that was rewritten."""
    pieces = re.split(r"\r|\n", text)
    return [CONTROL.sub("", piece) for piece in pieces if re.search(r"[|/\\-] \d+:\d\d ", piece)]


@pytest.mark.parametrize("columns", [30, 80, 120])
def test_the_line_goes_when_output_comes(single, busy, user, project, columns):
    terminal = submitted(user, project, columns=columns)
    terminal.until_shown(FULL[: columns - 16].encode())
    terminal.until_shown(b"0:01")
    engine.release(single, busy)
    code, text = terminal.end()
    assert code == 0
    job_id = job_id_in(text)
    how = f"Watch it with: ci wait {job_id[:8]}"
    first = [f"Job {job_id}. {how}"] if columns >= 80 else [f"Job {job_id}", how]
    rows = [
        line[at : at + columns].rstrip() for line in first for at in range(0, len(line), columns)
    ]
    shown = screen(text, columns)
    assert shown[: len(rows) + 3] == [*rows, "one", "two", "no end"]
    assert shown[len(rows) + 3].startswith("✓ passed in ")
    assert shown[len(rows) + 4 :] == [""]
    lines = drawn(text)
    assert max(map(len, lines)) < columns
    assert len({line[0] for line in lines}) > 1, "the spinner turns"
    assert "\x1b[32m✓ passed in" in text


def test_a_line_that_was_resized(single, busy, user, project):
    terminal = submitted(user, project, columns=120)
    terminal.until_shown(FULL.encode())
    terminal.resize(24)
    before = len(terminal.shown)
    lines = until_sync(
        lambda: drawn(terminal.shown[before:].decode(errors="replace")),
        lambda lines: len(lines) > 3,  # the first of which may have been begun before
        "lines on the other terminal",
    )
    assert len(lines[-2]) <= 23
    engine.release(single, busy)
    code, text = terminal.end()
    assert (code, screen(text)[1:4]) == (0, ["one", "two", "no end"])


@pytest.mark.parametrize(
    ("options", "variables", "colors"),
    [
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_without_colours_it_is_rewritten_all_the_same(user, project, options, variables, colors):
    terminal = submitted(user, project, *options, command=["sh", "-c", "exit 3"], **variables)
    code, text = terminal.end()
    assert code == 1
    assert drawn(text)
    assert ("\x1b[31m✗ failed" in text) is colors
    assert ("\x1b[0m" in text) is colors


def test_a_terminal_that_cannot_rewrite_has_lines(single, busy, user, project):
    terminal = submitted(user, project, TERM="dumb")
    terminal.until_shown(f"waiting: {FULL}".encode())
    engine.release(single, busy)
    code, text = terminal.end()
    assert code == 0
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[1:3] == ["status: queued", f"waiting: {FULL}"]
    assert lines[-2:-1] == ["no end"]


def test_the_output_in_a_file_is_the_logs_bytes(single, busy, user, project, tmp_path):
    with (tmp_path / "log").open("wb") as file:
        terminal = submitted(user, project, stdout=file)
        terminal.until_shown(FULL.encode())
        engine.release(single, busy)
        code, text = terminal.end()
    assert code == 0
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nno end"
    shown = screen(text)
    assert [line[:10] for line in shown[1:]] == ["✓ passed i", ""]


def test_through_pipes_nothing_is_rewritten(single, busy, user, project):
    running = user.start("submit", "--path", project, "--", "sh", "-c", OUTPUT)
    running.until_err(f"waiting: {FULL}\n")
    engine.release(single, busy)
    done = running.end()
    assert (done.code, done.out) == (0, b"one\ntwo\nno end")
    lines = done.err.splitlines()
    command = f"ci wait {done.job_id} --server {single.url}"
    assert lines[0] == f"Job {done.job_id}. Watch it from anywhere with: {command}"
    assert lines[1:3] == ["status: queued", f"waiting: {FULL}"]
    assert "\x1b" not in done.err


def test_events_as_json_are_lines_on_a_terminal_too(single, busy, user, project):
    terminal = submitted(user, project, "--json", columns=1000)
    terminal.until_shown(b'"type": "waiting"')
    engine.release(single, busy)
    code, text = terminal.end()
    assert code == 0
    assert not drawn(text)
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert events[0]["type"] == "job_id"
    (waiting,) = [event for event in events if event["type"] == "waiting"]
    assert waiting == {
        "type": "waiting",
        "reason": "server_full",
        "message": FULL,
        "ahead": 0,
    }


@pytest.mark.parametrize("command", ["submit", "wait"])
def test_ctrl_c_while_it_waits(single, busy, user, project, command):
    if command == "submit":
        terminal = submitted(user, project)
    else:
        terminal = user.on_terminal("wait", single.submit(projects.ANY, ["true"]))
    terminal.until_shown(FULL.encode())
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    shown = screen(text)
    assert not any(FULL in line for line in shown)
    assert shown[-1] == ""
    if command == "submit":
        assert shown[1].startswith("Interrupted: cancelling the job")
        assert shown[2].startswith("✗ cancelled")
    else:
        assert any("continues to run" in line for line in shown)


def test_status_says_why_a_job_waits(single, busy, user):
    job_id = single.submit(projects.ANY, ["true"])
    assert f"Waiting:    {FULL}\n" in user.run("status", job_id).text
    code, text = user.on_terminal("status", job_id).end()
    assert (code, screen(text)[0]) == (0, f"Job:        {job_id[:8]}")
    assert f"Waiting:    {FULL}\r\n" in text


def test_results_have_colours_in_lists(single, user):
    passed, _ = single.run(projects.ANY, ["true"])
    failed, _ = single.run(projects.ANY, ["false"])
    code, text = user.on_terminal("list", "--limit", "2").end()
    assert code == 0
    assert "\x1b[32m✓ passed" in text
    assert "\x1b[31m✗ exit code 1" in text
    assert "\x1b" not in user.on_terminal("list", NO_COLOR="1").end()[1]
    assert b"\x1b" not in user.run("list").out
    code, text = user.on_terminal("wait", failed["job_id"]).end()
    assert code == 1
    assert "\x1b[31mJob" in text
    code, text = user.on_terminal("status", passed["job_id"]).end()
    assert "Result:     \x1b[32m✓ passed" in text
