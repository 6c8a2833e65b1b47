"""The commands about jobs that are already there. Everything heavy is imported when it is used."""

from collections.abc import Sequence
from typing import Any

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, Whole, exits


def _checked_status(
    context: click.Context, option: click.Parameter, status: str | None
) -> str | None:
    if status is None:
        return None
    from ci_common.job_states import JobStatus

    return click.Choice(list(map(str, JobStatus))).convert(status, option, context)


_STATUS = "Only jobs that are queued, initializing, running, completed, failed or cancelled"


@click.command(cls=Command, context_settings=HELP)
@options.job_id_or_newest
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Show the log from its beginning instead of from now on",
)
@options.server
@options.api_key
@exits
def wait(job_id: str | None, everything: bool, server: str | None, api_key: str | None) -> int:
    """Follow a job until it ends, and exit like `submit`. Ctrl-C only stops watching."""
    from ci_client.command.queries import wait_for

    return wait_for(job_id, server_choice(server, api_key), everything)


@click.command(cls=Command, context_settings=HELP)
@options.job_id_or_newest
@click.option("--follow", "-f", is_flag=True, help="Follow the log until the job ends, like `wait`")
@click.option("--tail", type=Whole(min=0), metavar="N", help="Start with the last N lines")
@options.server
@options.api_key
@exits
def logs(
    job_id: str | None, follow: bool, tail: int | None, server: str | None, api_key: str | None
) -> int:
    """Print a job's log."""
    from ci_client.command.queries import print_log

    return print_log(job_id, server_choice(server, api_key), follow, tail)


@click.command("list", cls=Command, context_settings=HELP)
@options.as_json
@click.option("--failed", is_flag=True, help="Only jobs that failed, also those whose tests did")
@click.option("--mine", is_flag=True, help="Only my jobs")
@click.option("--name", metavar="NAME", help="Only jobs of this name in the project's table")
@click.option("--user", metavar="USER", help="Only jobs of this user")
@click.option(
    "--since", metavar="TIME", help="Submitted since 30m, 2h, 7d ago, or a date such as 2026-11-28"
)
@click.option("--until", metavar="TIME", help="Submitted before then")
@click.option(
    "--label",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only jobs with this label, e.g. git.branch=main; may be repeated",
)
@click.option("--reason", metavar="REASON", help="Only jobs that ended for it, e.g. timeout, oom")
@click.option(
    "--text", metavar="WORDS", help="Only jobs with these words in command, labels, message, names"
)
@click.option("--status", callback=_checked_status, metavar="STATUS", help=_STATUS)
@click.option("--limit", type=Whole(min=1), metavar="N", help="At most N jobs, default 100")
@click.option("--before", metavar="ID", help="Only jobs older than this one")
@options.server
@options.api_key
@exits
def list_command(
    as_json: bool,
    failed: bool,
    label: Sequence[str],
    limit: int | None,
    before: str | None,
    server: str | None,
    api_key: str | None,
    **filters: Any,
) -> int:
    """List jobs, newest first."""
    from ci_client.command.listing import WantedJobs, list_jobs

    labels = {}
    if label:
        from ci_client.library.job_options import read_labels

        labels = read_labels(label)
    wanted = WantedJobs(filters, labels, failed, limit, before)
    return list_jobs(server_choice(server, api_key), wanted, as_json)


@click.command(cls=Command, context_settings=HELP)
@options.job_id_or_newest
@options.as_json
@options.server
@options.api_key
@exits
def status(job_id: str | None, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show the details of a job."""
    import json

    from ci_client.command.display import job_details
    from ci_client.command.queries import job

    found = job(job_id, server_choice(server, api_key))
    print(json.dumps(found, indent=2) if as_json else job_details(found), flush=True)
    return 0


@click.command(cls=Command, context_settings=HELP)
@options.job_id
@click.option("--download", metavar="DIR", help="Download them into this directory")
@options.as_json
@options.server
@options.api_key
@exits
def artifacts(
    job_id: str, download: str | None, as_json: bool, server: str | None, api_key: str | None
) -> int:
    """List or download a job's artifacts."""
    from ci_client.command.artifacts import download_artifacts, show_artifacts

    if download is not None:
        return download_artifacts(job_id, server_choice(server, api_key), download)
    return show_artifacts(job_id, server_choice(server, api_key), as_json)


@click.command(cls=Command, context_settings=HELP)
@options.job_id
@options.server
@options.api_key
@exits
def cancel(job_id: str, server: str | None, api_key: str | None) -> int:
    """Cancel a job."""
    from ci_client.command.queries import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))
