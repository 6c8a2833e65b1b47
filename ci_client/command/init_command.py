"""`ci init`, as a command."""

import click

from ci_client.command.programs import HELP, Command, exits, option


@click.command(
    "init",
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci init", "for the project in this directory"),
        ("ci init --path my-project --print", "look at the table first"),
    ),
)
@option("--path", default=".", metavar="DIR", help="The project's directory [default: .]")
@option("--print", "only_print", is_flag=True, help="Print the table and write nothing")
@exits
def init(path: str, only_print: bool) -> int:
    """Write a commented table of jobs for the project.

    It goes to the end of pyproject.toml, or into a new ci.toml where there is no pyproject.toml. A
    table that is there already is left alone.
    """
    from ci_client.command.project_init import init_project

    return init_project(path, only_print=only_print)
