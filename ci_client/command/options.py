"""Options and arguments that commands have in common, as decorators."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ci_client.command.programs import Whole, argument

if TYPE_CHECKING:
    from ci_client.library.config import ServerChoice

_PROFILE = "ci_client.profile"


def _keep_profile(
    context: click.Context, option: click.Parameter, profile: str | None
) -> str | None:
    context.meta[_PROFILE] = profile
    return profile


_server = click.option(
    "--server",
    metavar="URL",
    help="Address of the server [default: $CI_SERVER_URL, the project's, or that of your profile]",
)
_profile = click.option(
    "--profile",
    metavar="NAME",
    expose_value=False,
    callback=_keep_profile,
    help="Your name for a server and your key for it [default: $CI_PROFILE]",
)


def server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which server it is: `--server`, which the command is given, and `--profile`, which
    `server_choice` adds.
    """
    return _server(_profile(command))


api_key = click.option(
    "--api-key",
    metavar="KEY",
    help="API key [default: $CI_API_KEY, or what `ci login` stored; prefer these, because other "
    "users can see command lines]",
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
as_json = click.option("--json", "as_json", is_flag=True, help="Output JSON")


def server_choice(server: str | None, api_key: str | None) -> "ServerChoice":
    """What was given on the command line."""
    from ci_client.library.config import ServerChoice

    profile = click.get_current_context().meta.get(_PROFILE)
    return ServerChoice(server, api_key, profile)
