"""`ci completion`: the script by which a shell completes the command line."""

import click

from ci_client.command.programs import HELP, Command, argument, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    short_help="Print the script by which your shell completes `ci`.",
    examples=(
        ('eval "$(ci completion bash)"', "for this shell; in ~/.bashrc for all"),
        ("ci completion zsh > ~/.zfunc/_ci", "where fpath has ~/.zfunc"),
        ("ci completion fish | source", "for this shell"),
    ),
)
@argument(
    "shell",
    "bash (4.4 or newer), zsh or fish",
    type=click.Choice(["bash", "zsh", "fish"]),
    metavar="SHELL",
)
@click.pass_context
@exits
def completion(context: click.Context, shell: str) -> int:
    """Print the script by which your shell completes commands, options, the jobs of the project's
    table, and the ids of jobs.

    A shell that has read the script asks `ci` on every Tab; for ids it asks the server, and
    waits two seconds at most.
    """
    from ci_client.command.completion import answer_shell

    return answer_shell(context.find_root().command, "ci", "_CI_COMPLETE", f"{shell}_source")
