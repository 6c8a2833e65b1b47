"""`ci whoami`: its options and its help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    short_help="Show your user, server and key, and their sources.",
    examples=(
        ("ci whoami", "user, role, server and key"),
        ("ci whoami --profile work --json", "on another server, as JSON"),
    ),
)
@options.as_json
@options.server
@options.api_key
@exits
def whoami(as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show your user and role on the server, and where server and key are set."""
    from ci_client.command.whoami import whoami as carry_out

    return carry_out(server_choice(server, api_key), as_json)
