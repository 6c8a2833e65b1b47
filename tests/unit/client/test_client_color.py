"""When a submission asks for colours."""

import json
import os
import sys

import pytest
from client_scripted_server import STREAM, answer_commands, complete, reply_json, stream

from ci_client.command.color import ColorChoice, wants_color

KNOWN = {"fields": ["job", "command", "git", "color"]}


@pytest.fixture
def environment(monkeypatch):
    """A terminal, and a function that sets the variables."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    def be(**variables):
        monkeypatch.setattr(os, "environ", variables)

    return be


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, True),
        ({"TERM": "xterm"}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, None),
        ({"NO_COLOR": "0"}, None),
        ({"TERM": "dumb"}, None),
    ],
)
def test_a_terminal_has_them_unless_the_user_says_otherwise(environment, variables, wanted):
    environment(**variables)
    assert wants_color(ColorChoice.AUTO) is wanted


@pytest.mark.parametrize("choice", ColorChoice)
def test_without_a_terminal_they_are_asked_for_only_when_the_user_does(monkeypatch, choice):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    monkeypatch.setattr(os, "environ", {"FORCE_COLOR": "1", "TERM": "xterm"})
    assert wants_color(choice) is (True if choice is ColorChoice.ALWAYS else None)


def test_on_a_terminal_they_can_be_done_without_and_had_against_the_variables(environment):
    environment(NO_COLOR="1")
    assert wants_color(ColorChoice.ALWAYS) is True
    environment()
    assert wants_color(ColorChoice.NEVER) is None


@pytest.mark.parametrize("variables", [{}, {"TERM_PROGRAM": "vscode"}, {"WT_SESSION": "5"}])
def test_the_old_terminal_of_windows_has_none(environment, monkeypatch, variables):
    environment(**variables)
    monkeypatch.setattr(os, "name", "nt")
    assert wants_color(ColorChoice.AUTO) is (True if variables else None)


@pytest.fixture
def server(server):
    answer_commands(server)
    server.on(STREAM, stream(complete()))
    return server


def asked(server):
    """The part `spec` of the last submission."""
    body = server.asked("POST /submit-async")[-1].body
    return json.loads(body.partition(b'name="spec"')[2].partition(b"\r\n\r\n")[2].split(b"\r\n")[0])


def test_the_server_is_asked(server, run):
    server.on("GET /limits", reply_json(KNOWN))
    assert run("submit")[0] == 0
    assert asked(server) == {"job": None, "command": None}
    assert run("submit", "--color", "always")[0] == 0
    assert asked(server) == {"job": None, "command": None, "color": True}


def test_a_server_that_does_not_know_of_it_is_not(server, run):
    server.on("GET /limits", reply_json({"fields": ["job", "command"]}))
    assert run("submit", "--color", "always")[0] == 0
    assert asked(server) == {"job": None, "command": None}


def test_a_private_job_is_asked_for_in_any_case(server, run):
    assert run("submit", "--private")[0] == 0
    assert asked(server) == {"job": None, "command": None, "private": True}


@pytest.mark.parametrize(("option", "tty"), [("--tty", True), ("--no-tty", False)])
def test_a_terminal_for_the_job_is_asked_for_in_any_case(server, run, option, tty):
    """The job may depend on it: an old server is to refuse."""
    assert run("submit", option)[0] == 0
    assert asked(server) == {"job": None, "command": None, "tty": tty}


def test_what_is_no_choice(server, run):
    code, _, err = run("submit", "--color", "yes")
    assert code == 2
    assert "'auto', 'always', 'never'" in err
