"""How the command line is made: commands and groups of them, and their values."""

import math
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import click
from typing_extensions import override

from ci_client.command.help_page import (
    Argument,
    Example,
    Option,
    OptionalValue,
    Section,
    write_commands,
    write_examples,
    write_options,
)
from ci_common.suggestions import closest

__all__ = [
    "AFTER_OPTIONAL",
    "HELP",
    "Command",
    "Group",
    "Number",
    "OptionalValue",
    "Section",
    "Whole",
    "argument",
    "carry_out",
    "exits",
    "option",
]

_LONGEST_SUMMARY = 66
"""What has room beside the names in 80 columns."""

AFTER_OPTIONAL = "ci_client.after_optional"
"""The key of a context's `meta` with the word directly after an option whose value is optional:
people may mean it to be the value.
"""
HELP = {"help_option_names": ["-h", "--help"]}
"""Of every command and group, as `context_settings`."""


class Command(click.Command):
    """A command whose help has sections of arguments and options, and examples at its end."""

    def __init__(self, *names: Any, examples: Sequence[Example] = (), **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.examples = examples

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. For an option that there is not, say which may be meant."""
        optional = self._optional()
        follows = next(
            (
                (word, after)
                for word, after in pairwise(args)
                if word in optional and not after.startswith("-")
            ),
            None,
        )
        ctx.meta[AFTER_OPTIONAL] = follows and follows[1]
        try:
            return super().parse_args(ctx, self.with_equals_signs(args))
        except click.NoSuchOption as error:
            raise _no_such_option(error.option_name, self, ctx) from None
        except click.UsageError as error:
            # Of this class are superfluous arguments alone.
            if type(error) is not click.UsageError or follows is None:
                raise
            meant = f"{follows[0]}={shlex.quote(follows[1])}"
            raise click.UsageError(f"{error.message}. Did you mean {meant}?", ctx) from None

    def with_equals_signs(self, args: Sequence[str]) -> list[str]:
        """The arguments as the parser takes them: options without their optional value with an
        empty one.
        """
        optional = self._optional()
        return [f"{word}=" if word in optional else word for word in args]

    def _optional(self) -> set[str]:
        return {name for one in self.params if isinstance(one, OptionalValue) for name in one.opts}

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of arguments and options."""
        arguments = [
            (one.make_metavar(ctx).replace("[", "").replace("]", ""), one.about)
            for one in self.params
            if isinstance(one, Argument)
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        write_options(formatter, ctx, self.shown_options(ctx))

    def shown_options(self, ctx: click.Context) -> list[click.Parameter]:
        """The options that its help explains."""
        return self.get_params(ctx)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.shown_examples(ctx))

    def shown_examples(self, ctx: click.Context) -> Sequence[Example]:
        """The examples at the end of its help."""
        return self.examples


class Unloaded(NamedTuple):
    """A command of which only this is known until it is used: to import all of them would take
    longer than most of them do.
    """

    module: str
    attribute: str
    summary: str
    """Its short help."""


class Group(click.Group):
    """A group of commands, in the order in which they are defined, and in the sections that they
    name.
    """

    command_class = Command

    def __init__(self, *names: Any, examples: Sequence[Example] = (), **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.examples = examples
        self.sections: dict[str, Section] = {}
        """By the name of the command."""
        self._unloaded: dict[str, Unloaded] = {}
        self._names: list[str] = []

    @override
    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command."""
        super().add_command(cmd, name)
        if (name := str(name or cmd.name)) not in self._names:
            self._names.append(name)

    def add_unloaded(self, name: str, command: Unloaded, section: Section) -> None:
        """Register a command that is imported when it is used, in a section of the help."""
        self._names.append(name)
        self._unloaded[name] = command
        self.sections[name] = section

    def load_all(self) -> None:
        """Import all commands."""
        for name in list(self._unloaded):
            self._load(name)

    def _load(self, name: str) -> None:
        if (unloaded := self._unloaded.pop(name, None)) is not None:
            module = import_module(unloaded.module)
            self.add_command(getattr(module, unloaded.attribute), name)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        self._load(cmd_name)
        return super().get_command(ctx, cmd_name)

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. For an option that there is not, say which may be meant."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _no_such_option(error.option_name, self, ctx) from None

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named. Raises click.UsageError, with the one that may be meant."""
        name = args[0]
        if name in self._names or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if name == "help":
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
            return self.resolve_command(ctx, [*args[1:], "--help"])
        meant = _SYNONYMS.get(name)
        if meant is None or not self._has(ctx, meant.partition(" ")[0]):
            meant = closest(name, self._names)
        advice = f" Did you mean {ctx.command_path} {meant}?" if meant else ""
        raise click.UsageError(f"No such command {name!r}.{advice}", ctx)

    def _has(self, ctx: click.Context, name: str) -> bool:
        """Whether there is a command, or an option, of this name."""
        return name in self._names or any(name in _names_of(one) for one in self.get_params(ctx))

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self._names)

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, and the options of the group itself."""
        summaries = [
            (name, self._summary(name), self.sections.get(name, "Commands")) for name in self._names
        ]
        write_commands(formatter, summaries)
        write_options(formatter, ctx, self.get_params(ctx))

    def _summary(self, name: str) -> str:
        if (unloaded := self._unloaded.get(name)) is not None:
            return unloaded.summary
        return self.commands[name].get_short_help_str(_LONGEST_SUMMARY)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class Number(click.FloatRange):
    """A number within bounds; not one that is infinite or none at all."""

    name = "number"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Raises click.BadParameter."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_SYNONYMS = {
    **dict.fromkeys(("start", "exec", "test", "push", "send"), "submit"),
    **dict.fromkeys(("ps", "ls", "jobs", "history"), "list"),
    **dict.fromkeys(("follow", "attach"), "wait"),
    **dict.fromkeys(("show", "view", "info", "inspect", "describe", "get"), "status"),
    **dict.fromkeys(("stop", "kill", "rm", "delete", "abort"), "cancel"),
    **dict.fromkeys(("download", "fetch", "results", "cp"), "artifacts"),
    **dict.fromkeys(("auth", "signin", "configure"), "login"),
    **dict.fromkeys(("me", "who", "id", "config"), "whoami"),
    **dict.fromkeys(
        ("profile", "profiles", "switch", "use"), "whoami (--profile NAME selects one)"
    ),
    **dict.fromkeys(("health", "ready", "ping"), "server"),
    **dict.fromkeys(("browse", "web", "ui", "dashboard"), "open"),
    "version": "--version",
    "signout": "logout",
    "tail": "logs",
    "zip": "package",
}
"""What other programs call a command."""

_SYNONYMS_OF_OPTIONS: dict[str, str | tuple[str, ...]] = {
    **dict.fromkeys(("--dir", "--directory", "--cwd", "--project", "-C"), "--path"),
    **dict.fromkeys(("--host", "--url", "--address", "-H"), "--server"),
    **dict.fromkeys(("--token", "--key"), "--api-key"),
    **dict.fromkeys(("--lines", "-n"), ("--tail", "--limit")),
    **dict.fromkeys(("--max", "--count"), "--limit"),
    "--branch": "--label git.branch=…",
    "--commit": "--label git.commit=…",
    **{f"--{status}": f"--status {status}" for status in ("queued", "running", "passed")},
    **dict.fromkeys(("--success", "--succeeded"), "--status passed"),
    **dict.fromkeys(("--background", "-d"), "--detach"),
    "--retry": "--retries",
    **dict.fromkeys(("--grep", "--find", "--match"), "--search"),
    "--ignore": "--exclude",
}


def _no_such_option(name: str, command: click.Command, ctx: click.Context) -> click.UsageError:
    known = [one for option in command.get_params(ctx) for one in _names_of(option)]
    synonyms = _SYNONYMS_OF_OPTIONS.get(name, ())
    synonyms = (synonyms,) if isinstance(synonyms, str) else synonyms
    meant = next((one for one in synonyms if one.partition(" ")[0] in known), None)
    meant = meant or closest(name, [one for one in known if one.startswith("--")])
    advice = f". Did you mean {meant}?" if meant else ""
    return click.UsageError(f"No such option: {name}{advice}", ctx)


def _names_of(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts] if isinstance(option, click.Option) else []


def argument(name: str, about: str, **attributes: Any) -> Callable[[Any], Any]:
    """An argument with its explanation, as a decorator."""
    return click.argument(name, cls=Argument, about=about, **attributes)


def option(*names: str, cls: type[Option] = Option, **attributes: Any) -> Callable[[Any], Any]:
    """An option of a section of the help, as a decorator."""
    return click.option(*names, cls=cls, **attributes)


def exits(command: Callable[..., int]) -> Callable[..., None]:
    """What the command's function returns is the exit code of the process."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        raise click.exceptions.Exit(command(*args, **options))

    return run


def carry_out(command: click.Command, program: str, arguments: list[str]) -> int:
    """Do what the command line says, or what the shell asks that completes it; the exit code. Lets
    all errors through but those of usage.
    """
    asked = f"_{program.replace('-', '_').upper()}_COMPLETE"
    if instruction := os.environ.get(asked):
        from ci_client.command.completion import answer_shell

        return answer_shell(command, program, asked, instruction)
    try:
        with command.make_context(program, arguments) as context:
            command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        with suppress(OSError):  # such as a full disk; a usage error it is nevertheless
            error.show()
        return error.exit_code
    return 0
