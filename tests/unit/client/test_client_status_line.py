"""The line on a terminal, with servers that say more, less, or else than ours."""

import re

import pytest
from client_scripted_server import (
    JOB,
    RETRY_SOON,
    STREAM,
    answer_commands,
    complete,
    error,
    event,
    log,
    status,
    stream,
)

from support.command_line import CommandLine
from support.screen import screen


@pytest.fixture
def user(server, tmp_path):
    line = CommandLine(answer_commands(server).url, tmp_path)
    yield line
    line.close()


QUEUED = event({"type": "status", "status": "queued", "position": 3}, 0)


def waiting(**fields):
    return event({"type": "waiting", "reason": "queue", "message": "m", "ahead": None, **fields}, 0)


def watched(user, server, *pieces, **options):
    """What a terminal was sent, and shows then."""
    server.on(STREAM, stream(RETRY_SOON, *pieces, complete()))
    code, text = user.on_terminal("wait", JOB, **options).end()
    assert code == 0
    return text, screen(text, 80)


def test_an_older_server_tells_only_the_place(user, server):
    text, shown = watched(user, server, QUEUED, status("running", 0), log("out\n", 4))
    assert re.search(r"[|/\\-] 0:\d\d Queued: 2 jobs ahead", text)
    assert [line[:8] for line in shown] == ["out", "✓ passed", ""]


def test_a_reason_of_a_newer_server_is_shown_and_does_nothing_to_the_terminal(user, server):
    odd = waiting(reason="full moon", message="the moon is full\x1b[2J\n")
    text, shown = watched(user, server, QUEUED, odd, log("out\n", 4))
    assert "Queued: the moon is full\\x1b[2J\\n" in text
    assert "\x1b[2J" not in text
    assert shown[0] == "out"


def test_a_status_of_a_newer_server(user, server):
    text, shown = watched(user, server, status("dreaming", 0), waiting(), log("out", 3))
    assert "dreaming" in text
    assert "Waiting: m" in text
    assert [line[:8] for line in shown] == ["out", "✓ passed", ""]


def test_a_reason_amid_output_never_shares_its_row(user, server):
    starting = status("initializing", 0)
    text, shown = watched(
        user,
        server,
        starting,
        log("no end", 6),
        waiting(message="hidden"),
        log("\n", 7),
        waiting(message="between"),
        log("more\n", 12),
    )
    assert "hidden" not in text
    assert "Starting: between" in text
    assert shown[:2] == ["no end", "more"]


def test_a_connection_that_is_lost_is_said_above_the_line(user, server):
    server.on(STREAM, stream(RETRY_SOON, QUEUED), error(503, "not_ready", "away"))
    terminal = user.on_terminal("wait", JOB, columns=120)
    terminal.until_shown(b"Reconnecting")
    terminal.press_ctrl_c()
    code, text = terminal.end()
    assert code == 130
    shown = screen(text, 200)
    assert shown[0].startswith("Connection lost (")
    assert not any("Queued" in line for line in shown)
    assert any("continues to run" in line for line in shown)
