"""What the shell may complete arguments to, as click's `shell_complete`. What finds the answers is
imported when the shell asks.
"""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROFILE = "ci_client.profile"
"""In the context: the value of `--profile`."""
IN_COMMAND = "ci_client.in_command"
"""In the context: whether what is completed belongs to the command that follows `--`."""


def complete_job_ids(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Jobs of the server, newest first."""
    from ci_client.command.candidates import job_ids

    return job_ids(_given(context), parameter, incomplete)


def complete_unfinished_job_ids(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Jobs of the server that have not ended, newest first."""
    from ci_client.command.candidates import job_ids

    return job_ids(_given(context), parameter, incomplete, unfinished=True)


def complete_profiles(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Profiles of the user's configuration."""
    from ci_client.command.candidates import profiles

    return profiles(incomplete)


def complete_job_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Jobs of the project's table. After `--` there are files."""
    from click.shell_completion import CompletionItem

    from ci_client.command.candidates import job_names

    if context.meta.get(IN_COMMAND):
        return [CompletionItem(incomplete, type="file")]
    return job_names(str(context.params.get("path") or "."), incomplete)


def complete_statuses(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Statuses of jobs."""
    from ci_client.command.job_filters import STATUSES

    return [status for status in STATUSES if status.startswith(incomplete)]


def complete_reasons(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Why jobs end."""
    from ci_client.command.job_filters import REASONS

    return [reason for reason in REASONS if reason.startswith(incomplete)]


def _given(context: click.Context) -> dict[str, Any]:
    """The values of the command line."""
    return {**context.params, "profile": context.meta.get(PROFILE)}
