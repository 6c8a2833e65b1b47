"""Options and arguments that commands have in common, as decorators."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ci_client.command.completers import (
    PROFILE,
    complete_job_ids,
    complete_profiles,
    complete_unfinished_job_ids,
)
from ci_client.command.programs import OptionalValue, Whole, argument, option

if TYPE_CHECKING:
    from ci_client.library.config import ServerChoice

SENT, JOB = "What is sent", "The job"
"""Sections of the help of commands that submit jobs."""


def _keep_profile(
    context: click.Context, option: click.Parameter, profile: str | None
) -> str | None:
    context.meta[PROFILE] = profile
    return profile


_server = option(
    "--server",
    section="Server",
    metavar="URL",
    help="Server URL [default: $CI_SERVER_URL, the project's, or your profile's]",
)
_profile = option(
    "--profile",
    section="Server",
    metavar="NAME",
    expose_value=False,
    callback=_keep_profile,
    shell_complete=complete_profiles,
    help="Profile: a named server with its API key [default: $CI_PROFILE]",
)


def server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which server it is: `--server`, which the command is given, and `--profile`, which
    `server_choice` adds.
    """
    decorated: Callable[..., Any] = _server(_profile(command))
    return decorated


api_key = option(
    "--api-key",
    section="Server",
    metavar="KEY",
    help="API key [default: $CI_API_KEY, or the one stored by `ci login`; prefer these: command "
    "lines are visible to other users]",
)
_ABOUT_ID = "Job id, or its first four or more characters"
job_id = argument("job_id", _ABOUT_ID, metavar="ID", shell_complete=complete_job_ids)
unfinished_job_id = argument(
    "job_id", _ABOUT_ID, metavar="ID", shell_complete=complete_unfinished_job_ids
)
job_id_or_newest = argument(
    "job_id",
    f"{_ABOUT_ID} [default: my newest job]",
    metavar="[ID]",
    required=False,
    shell_complete=complete_job_ids,
)
job_ids_or_newest = argument(
    "job_ids",
    "Job ids, or the first four or more characters of each [default: my newest job]",
    metavar="[ID]...",
    nargs=-1,
    shell_complete=complete_job_ids,
)
include = option(
    "--include",
    section=SENT,
    multiple=True,
    metavar="PATTERN",
    help="Include matching files even if hidden or git-ignored; may be repeated",
)
exclude = option(
    "--exclude",
    section=SENT,
    multiple=True,
    metavar="PATTERN",
    help="Leave out matching files (.gitignore syntax); may be repeated",
)
priority = option(
    "--priority",
    section=JOB,
    type=Whole(0, 10),
    metavar="N",
    help="0 (lowest) to 10 (highest), default 0; orders the jobs of your tenant",
)
detach_on_signal = option(
    "--detach-on-signal",
    is_flag=True,
    help="On Ctrl-C or SIGTERM leave the job running instead of cancelling it",
)
detach = option(
    "--detach", "--async", "detach", is_flag=True, help="Print the job's id and return at once"
)
download = option(
    "--download",
    cls=OptionalValue,
    metavar="[=DIR]",
    help="Download the artifacts when the job ends [default: PROJECT-artifacts-ID, a new "
    "directory]",
)
events_as_json = option(
    "--json", "as_json", is_flag=True, help="Output the job's events as JSON, one per line"
)
as_json = option("--json", "as_json", is_flag=True, help="Output JSON")


def server_choice(server: str | None, api_key: str | None) -> "ServerChoice":
    """What was given on the command line."""
    from ci_client.library.config import ServerChoice

    profile = click.get_current_context().meta.get(PROFILE)
    return ServerChoice(server, api_key, profile)
