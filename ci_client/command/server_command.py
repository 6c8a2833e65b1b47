"""`ci server`, as a command."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits


@click.command(
    "server",
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci server", "readiness, image and limits"),
        ("ci server --server https://ci.example.com --json", "another server, as JSON"),
    ),
)
@options.as_json
@options.server
@options.api_key
@exits
def server(as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show the server's version, readiness and limits.

    It also shows your user and role, and the default image.

    Exit codes: 0 ready, 2 your API key was rejected, 3 not ready or unreachable.
    """
    from ci_client.command.server_status import show_server

    return show_server(server_choice(server, api_key), as_json)
