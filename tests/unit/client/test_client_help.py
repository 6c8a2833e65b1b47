"""What `--help` shows: sections, examples, and no more than belongs to the command."""

import re
import shlex
from contextlib import suppress

import click
import pytest

from ci_client.command.commands import app, submit
from ci_client.command.help_page import Section

ENGINE = ("--scenarios", "--seed", "--threads", "--per-policy", "--mortality-mult", "--lapse-mult",
          "--expense-mult", "--output", "--verify-local")  # fmt: skip


def below(command, words=("ci",)):
    """The command and all below it, by their words."""
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from below(child, (*words, name))


COMMANDS = dict(below(app))
IDS = [" ".join(words) for words in COMMANDS]


def of(words, width=80):
    """The help of a command on a terminal of this width."""
    context = None
    for length in range(len(words)):
        command = COMMANDS[words[: length + 1]]
        context = click.Context(
            command, context, words[length], terminal_width=width - 2, **command.context_settings
        )
    return context.get_help()


def run(capsys, *arguments, command=app, program="ci"):
    from ci_client.command.programs import carry_out

    code = carry_out(command, program, list(arguments))
    return code, capsys.readouterr().out


def test_every_command_names_its_section():
    assert set(app.sections) == set(app.commands)


def test_sections_are_in_order_and_hold_their_commands(capsys):
    code, shown = run(capsys, "--help")
    assert code == 0
    titles = [line.rstrip(":") for line in shown.splitlines() if re.fullmatch(r"\S.*:", line)]
    assert titles == [*Section, "Options", "Examples"]
    of_run = shown[shown.index("Run jobs:") : shown.index("Look at jobs:")]
    assert re.findall(r"^  (\w+) ", of_run, re.MULTILINE) == [
        "submit",
        "rerun",
        "run",
        "cancel",
        "model",
    ]
    assert "\n  logs " in shown[shown.index("Look at jobs:") : shown.index("Set up:")]


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_a_page_fits_a_terminal_and_can_be_read(words):
    shown = of(words)
    assert max(map(len, shown.splitlines())) <= 80
    assert "<=" not in shown
    assert ">=" not in shown
    summaries = shown.partition("\nOptions:")[0] if hasattr(COMMANDS[words], "commands") else ""
    assert not re.search(r"^  .*\.\.\.$", summaries, re.MULTILINE), "a summary is cut off"


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_every_command_has_two_to_four_examples_that_work(words):
    examples = COMMANDS[words].examples
    assert 2 <= len(examples) <= 4
    assert of(words).count("  # ") >= len(examples)
    for line, about in examples:
        assert about
        for typed in re.findall(r"\bci [^<>&|)]+", line):
            accept(shlex.split(typed.rstrip('"')))


def accept(typed):
    """Read a command line as `ci` does, and do nothing."""
    command, rest = app, typed[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    with suppress(click.exceptions.Exit):  # --help
        command.make_context(typed[0], rest).close()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], False),
        (["lint", "--help"], False),
        (["engine", "--help"], True),
        (["-h", "engine"], True),
        (["--path", "engine", "--help"], False),
        (["--path", "x", "engine", "--seed", "1", "--help"], True),
        (["--help", "--", "engine"], False),
    ],
)
@pytest.mark.parametrize("program", ["ci", "ci-submit"])
def test_options_of_the_engine_are_shown_where_the_engine_is_named(
    capsys, program, arguments, shown
):
    of_ci = program == "ci"
    code, text = run(
        capsys,
        *(["submit"] if of_ci else []),
        *arguments,
        command=app if of_ci else submit,
        program=program,
    )
    assert code == 0
    found = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
    assert ([name for name in ENGINE if name in found] == list(ENGINE)) is shown
    assert any(name in found for name in ENGINE) is shown
    name = "ci submit" if of_ci else "ci-submit"
    assert (f"{name} engine --path" in text) is shown
    assert "--image" in found


def test_options_of_the_engine_are_taken_anywhere():
    context = submit.make_context("submit", ["engine", "--seed", "7", "--lapse-mult", "1.5"])
    assert (context.params["seed"], context.params["lapse_mult"]) == (7, 1.5)


@pytest.mark.parametrize("words", [[], ["logs"], ["model"], ["model", "submit"]])
def test_help_is_a_command_too(capsys, words):
    asked = run(capsys, "help", *words)
    assert asked == run(capsys, *words, "--help")
    assert asked[0] == 0


def test_help_on_what_is_not_there_is_an_error(capsys):
    from ci_client.command.programs import carry_out

    assert carry_out(app, "ci", ["help", "log"]) == 2
    assert "Did you mean ci logs?" in capsys.readouterr().err
