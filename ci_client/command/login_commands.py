"""`ci login` and `ci logout`: their options and their help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci login --server https://ci.example.com", "asks for the key"),
        ("ci login --profile work --server URL", "under a name of its own"),
    ),
)
@options.server
@exits
def login(server: str | None) -> int:
    """Check your API key for a server and store it.

    The key is asked for on the terminal, and not shown; without a terminal it is read from stdin.
    It is stored for this server alone, in a file that only you can read.

    With --profile NAME --server URL the server gets a name, by which other commands find it.
    """
    from ci_client.command.login import login as carry_out

    return carry_out(server_choice(server, None))


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci logout", "of your default server"),
        ("ci logout --profile work", "of another one"),
    ),
)
@options.server
@exits
def logout(server: str | None) -> int:
    """Remove your stored API key for a server, or of a profile."""
    from ci_client.command.login import logout as carry_out

    return carry_out(server_choice(server, None))
