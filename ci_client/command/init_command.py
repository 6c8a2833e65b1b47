"""`ci init`, as a command."""

import click

from ci_client.command.programs import HELP, Command, exits, option


@click.command(
    "init",
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci init", "for the project in this directory"),
        ("ci init --path my-project --print", "preview the configuration"),
    ),
)
@option("--path", default=".", metavar="DIR", help="The project's directory [default: .]")
@option("--print", "only_print", is_flag=True, help="Print the configuration without writing it")
@exits
def init(path: str, only_print: bool) -> int:
    """Write a job configuration, with comments, for the project.

    It is appended to pyproject.toml, or written to a new ci.toml if there is no pyproject.toml. An
    existing configuration is not changed.
    """
    from ci_client.command.project_init import init_project

    return init_project(path, only_print=only_print)
