"""How a help page is laid out: sections of commands and of options, and examples at its end."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Example = tuple[str, str]
"""A command line, and what it does."""

_PATHS = {"DIR": "dir", "FILE": "file", "FILE.zip": "file"}
"""What the shell completes by itself, by the placeholder of the value."""

_WIDEST = 26
"""Columns of the names of options; longer ones have their help in the line below."""


class Section(StrEnum):
    """A section of the commands of `ci`, in their order. Each command names its own where it is
    registered.
    """

    RUN = "Run jobs"
    LOOK = "Look at jobs"
    SET_UP = "Set up"


class Argument(click.Argument):
    """An argument that the help explains."""

    def __init__(self, *names: Any, about: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.about = about

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """What the shell may complete it to."""
        return _paths(self, incomplete) or super().shell_complete(ctx, incomplete)


class Option(click.Option):
    """An option in a section of the help, in `Options` where none is named. Its help text says
    which values there are, in place of click's `[0<=x<=10]`.
    """

    def __init__(self, *names: Any, section: str = "", **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section

    @override
    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help text: not the bounds of a number."""
        return {key: told for key, told in super().get_help_extra(ctx).items() if key != "range"}

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """What the shell may complete its value to."""
        return _paths(self, incomplete) or super().shell_complete(ctx, incomplete)


class OptionalValue(Option):
    """An option whose value, if it has one, follows a `=`. Without one it is empty."""

    @override
    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """How it is written, and its help."""
        record = super().get_help_record(ctx)
        return record and (record[0].replace(" [=", "[="), record[1])


def _paths(parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Asks the shell for directories or files, where the value is one."""
    kind = _PATHS.get(str(parameter.metavar))
    if kind is None:
        return []
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type=kind)]


def write_options(
    formatter: click.HelpFormatter, ctx: click.Context, options: Iterable[click.Parameter]
) -> None:
    """Write a section for each that an option names, in the order of their first options."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for one in options:
        if isinstance(one, click.Option) and (record := one.get_help_record(ctx)):
            sections.setdefault(getattr(one, "section", ""), []).append(record)
    widest = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
    for title, rows in sections.items():
        with formatter.section(title or "Options"):
            formatter.write_dl([(name.ljust(min(widest, _WIDEST)), told) for name, told in rows])


def write_commands(
    formatter: click.HelpFormatter, commands: Sequence[tuple[str, str, str]]
) -> None:
    """Write name and summary of each command, in its section."""
    widest = max((len(name) for name, _, _ in commands), default=0)
    for title in (*Section, "Commands"):
        rows = [
            (name.ljust(widest), summary) for name, summary, section in commands if section == title
        ]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    """Write the examples: what each does is beside it or, if one of them is too long, above it."""
    if not examples:
        return
    widest = max(len(line) for line, _ in examples)
    with formatter.section("Examples"):
        room = formatter.width - formatter.current_indent
        is_narrow = any(widest + len("  # ") + len(about) > room for _, about in examples)
        indent = " " * formatter.current_indent
        for line, about in examples:
            if is_narrow:
                formatter.write(f"{indent}# {about}\n{indent}{line}\n")
            else:
                formatter.write(f"{indent}{line:<{widest}}  # {about}\n")
