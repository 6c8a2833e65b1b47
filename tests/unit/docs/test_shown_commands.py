"""Commands and options in the pages against those that there are."""

import argparse
import re
import shlex

import pytest
import typer

from ci_admin.cli import app as admin_app
from ci_client.command.commands import app
from ci_client.command.submit_command import submit
from ci_worker.commands import app as worker_app
from engine.command.commands import parser as engine_parser
from tests.support.pages import CURRENT, ROOT, Page

app.load_all()
OURS = {
    "ci": app,
    "ci-submit": submit,
    "ci-admin": typer.main.get_command(admin_app),
    "job-worker": typer.main.get_command(worker_app),
}
SERVER = (ROOT / "ci_server" / "__main__.py").read_text()


def commands_of(command, name):
    """The command and those below it, by their words."""
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands_of(below, f"{name} {child}")


def options_of(command):
    names = ([*one.opts, *one.secondary_opts] for one in command.params)
    return {"-h", "--help"}.union(*names)


def parsers_of(parser, name):
    yield name, set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child, below in action.choices.items():
                yield from parsers_of(below, f"{name} {child}")


COMMANDS = dict(pair for name, top in OURS.items() for pair in commands_of(top, name))
OPTIONS = {
    **{name: options_of(command) for name, command in COMMANDS.items()},
    **dict(parsers_of(engine_parser(), "python -m engine")),
    "python -m ci_server": set(re.findall(r'add_argument\(\s*"(--\w+)"', SERVER)),
    "python -m ci_controller": set(),
}
OF_OTHERS = {
    *(
        "--serve",
        "--path",
        "--no-install",
        "--upgrade",
        "--refresh",
        "--write",
        "--haystack",
    ),  # scripts/
    *("--restart-every", "--engine", "--first-seed", "--jobs", "--write-reliability"),
    *("--network", "--overlay2", "--platform", "--file-access"),  # gVisor
    *("--runtime", "--cgroup-manager", "--storage-opt", "--bridge"),  # Podman, Docker
    *("--no-proxy-headers", "--log-level", "--live-restore", "--continue-at"),
}
"""Options of other programs that the pages name."""
GROUPS = {name.rpartition(" ")[0] for name in OPTIONS}


def shown_commands(path):
    """What the page shows of our commands, in fenced and in inline code, word by word."""
    text = Page(path)
    fenced = "\n".join(text.fences("sh", "")).splitlines()
    for line in [*fenced, *re.findall(r"`([^`]+)`", text.prose)]:
        for part in re.split(r"[;&|]|\$\(", line.partition("  #")[0]):
            command = (
                r"(?:ci|ci-submit|ci-admin|job-worker|python -m (?:engine|ci_server|ci_controller))"
            )
            found = re.search(rf"^\s*(?:[A-Z_]+=\S+\s+)*({command}\s.*)", part, re.DOTALL)
            if found:
                yield words_of(found[1])


def words_of(command):
    plain = re.sub(r"[\[\]()]", " ", command)
    try:
        return shlex.split(plain)
    except ValueError:  # a quotation that goes on elsewhere
        return plain.split()


def is_known(words):
    words = words[: words.index("--")] if "--" in words else words
    if words[:2] == ["ci", "help"]:
        words = ["ci", *words[2:], "--help"]
    length = 3 if words[0] == "python" else 1
    name = " ".join(words[:length])
    while (longer := " ".join(words[: length + 1])) in OPTIONS and length < len(words):
        name, length = longer, length + 1
    rest = words[length:]
    if name in GROUPS and rest and re.fullmatch(r"[a-z]+", rest[0]):
        return False  # it is no command of this group
    if name == "job-worker create":
        rest = before_command(rest)
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    return all(option.rstrip(",.:") in OPTIONS[name] for option in options)


def before_command(words):
    """Options of `job-worker create`; the command that follows has its own."""
    length = 0
    while length < len(words) and words[length].startswith("-"):
        length += 1 if "=" in words[length] or words[length] == "--json" else 2
    return words[:length]


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_every_command_and_option_exists(path):
    assert [words for words in shown_commands(path) if not is_known(words)] == []


def test_what_is_not_there_is_noticed():
    assert sum(len(list(shown_commands(path))) for path in CURRENT) > 100
    assert not is_known(["ci", "submit", "--no-such-option"])
    assert not is_known(["ci-admin", "key", "nothing"])
    assert not is_known(["ci", "nothing"])
    assert is_known(["ci-admin", "key", "create", "--email", "ann@example.com"])


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_every_option_of_ours_that_stands_alone_exists(path):
    """`--priority`, in prose, is an option of some command of ours, or of another program."""
    spans = re.findall(r"`(--[a-z][a-z0-9-]+)[^`]*`", Page(path).prose)
    known = set().union(*OPTIONS.values()) | OF_OTHERS
    assert [span for span in spans if span not in known] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_a_help_text(name):
    options = [one for one in COMMANDS[name].params if one.param_type_name == "option"]
    assert [one.opts for one in options if not one.help] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_help_text(name):
    assert COMMANDS[name].help
