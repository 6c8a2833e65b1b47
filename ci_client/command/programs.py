"""How the command line is made: commands and groups of them, their values and their help."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from typing_extensions import override

HELP = {"help_option_names": ["-h", "--help"]}
"""Of every command and group, as `context_settings`."""


class Argument(click.Argument):
    """An argument that the help explains."""

    def __init__(self, *names: Any, about: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.about = about


class Command(click.Command):
    """A command whose arguments have a section of their own in its help."""

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
        error.show()
        return error.exit_code
    return 0
