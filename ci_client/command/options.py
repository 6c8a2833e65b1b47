"""Options and arguments that commands have in common, as decorators."""

from typing import TYPE_CHECKING

import click

from ci_client.command.programs import OptionalValue, Whole, argument

if TYPE_CHECKING:
    from ci_client.library.config import ServerChoice

server = click.option(
    "--server",
    metavar="URL",
    help="Address of the server [default: $CI_SERVER_URL or ~/.ci/config]",
)
api_key = click.option(
    "--api-key",
    metavar="KEY",
    help="API key [default: $CI_API_KEY or ~/.ci/config; prefer these, because other users can see "
    "command lines]",
)
job_id = argument(
    "job_id", metavar="ID", about="The job's id, or the four or more characters it begins with"
)
job_id_or_newest = argument(
    "job_id",
    metavar="[ID]",
    required=False,
    about="The job's id, or the four or more characters it begins with [default: my newest job]",
)
include = click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Include matching files even if hidden or git-ignored; may be repeated",
)
exclude = click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out matching files (.gitignore syntax); may be repeated",
)
priority = click.option(
    "--priority",
    type=Whole(0, 10),
    metavar="N",
    help="0 (lowest) to 10 (highest), default 0; orders the jobs of your tenant",
)
detach_on_signal = click.option(
    "--detach-on-signal",
    is_flag=True,
    help="On Ctrl-C or SIGTERM leave the job running instead of cancelling it",
)
detach = click.option(
    "--detach", "--async", "detach", is_flag=True, help="Print the job's id and return at once"
)
download = click.option(
    "--download",
    cls=OptionalValue,
    metavar="[=DIR]",
    help="At the job's end download its artifacts [default: PROJECT-artifacts-ID, a new directory]",
)
events_as_json = click.option(
    "--json", "as_json", is_flag=True, help="Output the job's events as JSON, one per line"
)
secret = click.option(
    "--secret",
    multiple=True,
    metavar="NAME",
    help="Pass this environment variable as a secret, masked in the log; may be repeated",
)
secret_file = click.option(
    "--secret-file",
    multiple=True,
    metavar="NAME=PATH",
    help="Pass this file as the secret /run/secrets/NAME; may be repeated",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Output JSON")


def server_choice(server: str | None, api_key: str | None) -> "ServerChoice":
    """What was given on the command line."""
    from ci_client.library.config import ServerChoice

    return ServerChoice(server, api_key)
