"""`ci login` and `ci logout`: their options and their help."""

import shlex

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits


def _refuse_address(context: click.Context, argument: click.Parameter, address: str | None) -> None:
    if address is not None:
        raise click.UsageError(
            f"The server's address is an option. Did you mean {context.command_path} --server "
            f"{shlex.quote(address)}?",
            context,
        )


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci login --server https://ci.example.com", "prompt for the key"),
        ("ci login --profile work --server URL", "store it as the profile work"),
    ),
)
@click.argument("address", required=False, metavar="", callback=_refuse_address)
@options.server
@exits
def login(server: str | None, address: None) -> int:
    """Check your API key for a server and store it.

    The key is read from a prompt, without echo, or from stdin if that is not a terminal. It is
    stored in a file that only you can read, and sent only to this server.

    --profile NAME --server URL names the server; other commands then take --profile NAME.
    """
    from ci_client.command.login import login as carry_out

    return carry_out(server_choice(server, None))


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci logout", "of your default server"),
        ("ci logout --profile work", "of the profile work"),
    ),
)
@options.server
@exits
def logout(server: str | None) -> int:
    """Remove the stored API key of a server or a profile.

    A profile that --profile names and that has no key is removed itself.
    """
    from ci_client.command.login import logout as carry_out

    return carry_out(server_choice(server, None))
