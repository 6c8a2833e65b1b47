"""How the command line is made: commands and groups of them, their values and their help."""

import math
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

import click
from typing_extensions import override

from ci_common.suggestions import closest

HELP = {"help_option_names": ["-h", "--help"]}
"""Of every command and group, as `context_settings`."""


class Argument(click.Argument):
    """An argument that the help explains."""

    def __init__(self, *names: Any, about: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.about = about


class OptionalValue(click.Option):
    """An option whose value, if it has one, follows a `=`. Without one it is empty."""

    @override
    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """How it is written, and its help."""
        record = super().get_help_record(ctx)
        return record and (record[0].replace(" [=", "[="), record[1])


class Command(click.Command):
    """A command whose arguments have a section of their own in its help."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. For an option that there is not, say which may be meant."""
        optional = {
            name for one in self.params if isinstance(one, OptionalValue) for name in one.opts
        }
        try:
            return super().parse_args(
                ctx, [f"{word}=" if word in optional else word for word in args]
            )
        except click.NoSuchOption as error:
            raise _no_such_option(error.option_name, self, ctx) from None

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of arguments and options."""
        arguments = [
            (one.make_metavar(ctx).strip("[]"), one.about)
            for one in self.params
            if isinstance(one, Argument)
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        super().format_options(ctx, formatter)


class Group(click.Group):
    """A group of commands, in the order in which they are defined."""

    command_class = Command

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
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        meant = _SYNONYMS.get(name)
        if meant not in self.commands:
            meant = closest(name, self.commands)
        advice = f" Did you mean {ctx.command_path} {meant}?" if meant else ""
        raise click.UsageError(f"No such command {name!r}.{advice}", ctx)

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)


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
            self.fail(f"{value!r} is not a number that can be calculated with.", param, ctx)
        return number


_SYNONYMS = {
    **dict.fromkeys(("start", "exec", "test", "push", "send"), "submit"),
    **dict.fromkeys(("ps", "ls", "jobs", "history"), "list"),
    **dict.fromkeys(("watch", "follow", "attach"), "wait"),
    **dict.fromkeys(("show", "view", "info", "inspect", "describe", "get"), "status"),
    **dict.fromkeys(("stop", "kill", "rm", "delete", "abort"), "cancel"),
    **dict.fromkeys(("download", "fetch", "results", "cp"), "artifacts"),
    "tail": "logs",
    "zip": "package",
}
"""What other programs call a command."""

_SYNONYMS_OF_OPTIONS = {
    **dict.fromkeys(("--dir", "--directory", "--cwd", "--project", "-C"), "--path"),
    **dict.fromkeys(("--host", "--url", "--address", "-H"), "--server"),
    **dict.fromkeys(("--token", "--key"), "--api-key"),
    **dict.fromkeys(("--lines", "-n"), "--tail"),
    **dict.fromkeys(("--background", "-d"), "--detach"),
    "--retry": "--retries",
    "--ignore": "--exclude",
}


def _no_such_option(name: str, command: click.Command, ctx: click.Context) -> click.UsageError:
    known = [one for option in command.get_params(ctx) for one in _names_of(option)]
    meant = _SYNONYMS_OF_OPTIONS.get(name)
    if meant not in known:
        meant = closest(name, [one for one in known if one.startswith("--")])
    advice = f". Did you mean {meant}?" if meant else ""
    return click.UsageError(f"No such option: {name}{advice}", ctx)


def _names_of(option: click.Parameter) -> list[str]:
    return [*option.opts, *option.secondary_opts] if isinstance(option, click.Option) else []


def argument(name: str, about: str, **attributes: Any) -> Callable[[Any], Any]:
    """An argument with its explanation, as a decorator."""
    return click.argument(name, cls=Argument, about=about, **attributes)


def exits(command: Callable[..., int]) -> Callable[..., None]:
    """What the command's function returns is the exit code of the process."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        raise click.exceptions.Exit(command(*args, **options))

    return run


def carry_out(command: click.Command, program: str, arguments: list[str]) -> int:
    """Do what the command line says; the exit code. Lets all errors through but those of usage."""
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
