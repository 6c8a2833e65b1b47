"""`ci completion`: the script by which a shell completes the command line."""

import click

from ci_client.command.programs import HELP, Command, argument, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    short_help="Print the shell completion script for `ci`.",
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
    """Print the script that lets your shell complete commands, options, the project's jobs, and job
    ids.

    The shell then runs `ci` on every Tab. For job ids, `ci` asks the server, for at most two
    seconds.
    """
    from ci_client.command.completion import answer_shell

    return answer_shell(context.find_root().command, "ci", "_CI_COMPLETE", f"{shell}_source")
