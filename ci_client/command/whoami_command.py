"""`ci whoami`: its options and its help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits


@click.command(
    cls=Command,
    context_settings=HELP,
    short_help="Show who you are to which server, and why.",
    examples=(
        ("ci whoami", "also tells which server it is"),
        ("ci whoami --profile work --json", "of another server, for programs"),
    ),
)
@options.as_json
@options.server
@options.api_key
@exits
def whoami(as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show who you are to the server, and where server and key come from."""
    from ci_client.command.whoami import whoami as carry_out

    return carry_out(server_choice(server, api_key), as_json)
