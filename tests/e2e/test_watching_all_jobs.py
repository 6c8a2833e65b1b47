"""`ci watch`: all jobs, live, on a terminal and through pipes."""

import json
import signal

import pytest

from support import projects
from support.screen import CONTROL

pytestmark = pytest.mark.docker

LIFE = ["submitted", "claimed", "started", "finished"]


@pytest.fixture
def server(own_server):
    return own_server().start().ready()


@pytest.fixture
def user(user_of, server):
    return user_of(server.url)


def after_last_drawing(shown):
    """What is on the ordinary screen in the end."""
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    return CONTROL.sub("", shown.rpartition(b"\x1b[?1049l")[2].decode())


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_that_changes(server, user, columns):
    terminal = user.on_terminal("watch", columns=columns)
    terminal.until_shown(b"There are no jobs yet.")
    passes = server.submit(projects.ANY, projects.shell("true"))
    terminal.until_shown(b"passed")
    fails = server.submit(projects.ANY, projects.shell("exit 3"))
    terminal.until_shown(b"exit code 3")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    left = after_last_drawing(terminal.shown)
    assert passes[:8] in left
    assert fails[:8] in left
    assert max(map(len, left.splitlines())) <= columns
    assert "Traceback" not in text


def test_sigterm_gives_the_terminal_back(server, user):
    terminal = user.on_terminal("watch", "--mine")
    terminal.until_shown(b"There are no jobs yet.")
    terminal.process.send_signal(signal.SIGTERM)
    code, _ = terminal.end()
    assert code == 143
    assert "There are no jobs yet." in after_last_drawing(terminal.shown)


def test_a_server_that_goes_away_and_comes_back(server, user):
    terminal = user.on_terminal("watch")
    terminal.until_shown(b"There are no jobs yet.")
    server.kill()
    server.start().ready()
    server.submit(projects.ANY, projects.shell("true"))
    terminal.until_shown(b"passed")
    terminal.press_ctrl_c()
    assert terminal.end()[0] == 130


def test_lines_for_a_pipe_and_events_for_programs(server, user):
    lines, events = user.start("watch"), user.start("watch", "--json")
    events.until_out(b'"begin"')
    server.until(lambda: server.log_path.read_text().count("GET /events"), lambda count: count == 2)
    job_id = server.submit(projects.ANY, projects.shell("exit 3"))
    events.until_out(b'"finished"')
    lines.until_out(b"exit code 3")
    for running in (lines, events):
        running.interrupt()
    shown = lines.end()
    assert (shown.code, shown.err) == (130, "")
    told = [line.split("  ") for line in shown.text.splitlines()]
    assert {(cells[1], cells[2]) for cells in told} == {(job_id, "local")}
    assert [cells[3] for cells in told] == [
        "submitted test",
        "starting",
        "running",
        "✗ exit code 3",
    ]
    objects = [json.loads(line) for line in events.end().text.splitlines()]
    assert objects[0]["type"] == "begin"
    assert [one["kind"] for one in objects[1:]] == LIFE


def test_what_is_refused_is_said_on_the_ordinary_screen(server, user):
    terminal = user.on_terminal("watch", "--api-key", "ci_wrong")
    code, text = terminal.end()
    assert code == 2
    assert b"\x1b[?1049h" not in terminal.shown
    assert "API key" in text
