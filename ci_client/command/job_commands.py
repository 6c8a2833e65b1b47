"""The commands about jobs that are already there. Everything heavy is imported when it is used."""

from collections.abc import Sequence
from typing import Any

import click

from ci_client.command import options
from ci_client.command.completers import complete_job_ids, complete_reasons, complete_statuses
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, Whole, argument, exits, option


def _checked_status(
    context: click.Context, option: click.Parameter, status: str | None
) -> str | None:
    if status is not None:
        from ci_client.command.job_filters import check_status

        check_status(status)
    return status


_FILTERS = "Which jobs"
"""A section of the help."""
_STATUS = (
    "Only jobs that are queued, initializing, running, completed, passed, failed (like --failed) "
    "or cancelled"
)


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci wait", "my newest job, new output only"),
        ("ci wait 4f1c2d3e --all", "with the whole log"),
        ("ci wait 4f1c2d3e && ./deploy", "deploy only if it passes"),
    ),
)
@options.job_id_or_newest
@option(
    "--all",
    "everything",
    is_flag=True,
    help="Show the whole log instead of new output only",
)
@options.server
@options.api_key
@exits
def wait(job_id: str | None, everything: bool, server: str | None, api_key: str | None) -> int:
    """Follow a job until it ends, and exit like `submit`. Ctrl-C only stops watching."""
    from ci_client.command.queries import wait_for

    return wait_for(job_id, server_choice(server, api_key), everything)


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci logs -f", "follow my newest job to its end"),
        ("ci logs -f 4f1c2d3e 9a0b1c2d", "several jobs, line by line"),
        ("ci logs 4f1c2d3e --since 5m --timestamps", "the last 5 minutes, with times"),
        ("ci logs 4f1c2d3e --search error", "the lines that contain a text"),
    ),
)
@options.job_ids_or_newest
@option("--follow", "-f", is_flag=True, help="Follow the log until the job ends, like `wait`")
@option("--tail", type=Whole(min=0), metavar="N", help="Start with the last N lines")
@option(
    "--since",
    metavar="TIME",
    help="Start with what was received since TIME: 30s, 5m, 2h (ago), or e.g. 2026-11-28T12:00",
)
@option("--timestamps", "-t", is_flag=True, help="Prefix each line with the time it was received")
@option("--search", metavar="TEXT", help="Print only lines that contain TEXT, ignoring case")
@option("--exact-case", is_flag=True, help="With --search: match case")
@option("--json", "as_json", is_flag=True, help="With --search: output JSON, one hit per line")
@options.server
@options.api_key
@exits
def logs(
    job_ids: Sequence[str],
    follow: bool,
    tail: int | None,
    since: str | None,
    timestamps: bool,
    search: str | None,
    exact_case: bool,
    as_json: bool,
    server: str | None,
    api_key: str | None,
) -> int:
    """Print the logs of jobs.

    The log of one job is printed verbatim. Several logs are printed one after the other, with
    headings on stderr; with --follow they are interleaved, and each line begins with its job.
    """
    from ci_client.command.log_part import LogPart

    part = LogPart(tail, since, timestamps)
    choice = server_choice(server, api_key)
    if search is not None or exact_case or as_json:
        from ci_client.command.log_search import check_search
        from ci_client.command.queries import search_log

        text = check_search(search, job_ids, part, follow=follow)
        job_id = job_ids[0] if job_ids else None
        return search_log(job_id, choice, text, part, exact_case=exact_case, as_json=as_json)
    if len(job_ids) > 1:
        from ci_client.command.several_logs import follow_logs, print_logs

        return follow_logs(job_ids, choice, part) if follow else print_logs(job_ids, choice, part)
    from ci_client.command.queries import print_log

    return print_log(job_ids[0] if job_ids else None, choice, follow, part)


@click.command(
    "list",
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci list --mine", "my jobs"),
        ("ci list --failed --since 2d", "recent failures"),
        ("ci list --label git.branch=main --limit 5", "the newest five of a branch"),
        ("ci list --status running --json", "as JSON"),
    ),
)
@options.as_json
@option(
    "--failed",
    section=_FILTERS,
    is_flag=True,
    help="Only jobs that failed, including those with failed tests",
)
@option("--mine", section=_FILTERS, is_flag=True, help="Only my jobs")
@option(
    "--name", section=_FILTERS, metavar="NAME", help="Only jobs with this name in [tool.ci.jobs]"
)
@option("--user", section=_FILTERS, metavar="USER", help="Only jobs of this user")
@option(
    "--since",
    section=_FILTERS,
    metavar="TIME",
    help="Only jobs submitted since TIME: 30m, 2h, 7d (ago), or e.g. 2026-11-28",
)
@option("--until", section=_FILTERS, metavar="TIME", help="Only jobs submitted before TIME")
@option(
    "--label",
    section=_FILTERS,
    multiple=True,
    metavar="KEY=VALUE",
    help="Only jobs with this label, e.g. git.branch=main; may be repeated",
)
@option(
    "--reason",
    section=_FILTERS,
    shell_complete=complete_reasons,
    metavar="REASON",
    help="Only jobs that ended for this reason, e.g. timeout, oom",
)
@option(
    "--text",
    section=_FILTERS,
    metavar="WORDS",
    help="Only jobs with all these words in name, command, labels or message",
)
@option(
    "--status",
    section=_FILTERS,
    callback=_checked_status,
    shell_complete=complete_statuses,
    metavar="STATUS",
    help=_STATUS,
)
@option("--limit", type=Whole(min=1), metavar="N", help="At most N jobs [default: 100]")
@option(
    "--before", metavar="ID", shell_complete=complete_job_ids, help="Only jobs older than this one"
)
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


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci status", "my newest job"),
        ("ci status 4f1c2d3e", "its result, and the tests that failed"),
        ("ci status 4f1c2d3e --json", "all fields, as JSON"),
    ),
)
@options.job_id_or_newest
@options.as_json
@options.server
@options.api_key
@exits
def status(job_id: str | None, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show the details of a job."""
    import json
    import sys

    from ci_client.command.display import job_details
    from ci_client.command.job_card import job_card
    from ci_client.command.queries import job

    found = job(job_id, server_choice(server, api_key))
    told = job_card if sys.stdout.isatty() else job_details
    print(json.dumps(found, indent=2) if as_json else told(found), flush=True)
    return 0


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci artifacts 4f1c2d3e", "list them"),
        ("ci artifacts 4f1c2d3e 'output/**/*.png'", "only those that match"),
        ("ci artifacts 4f1c2d3e --download results", "download them to results"),
        ("ci artifacts 4f1c2d3e dist --download .", "download everything in dist"),
    ),
)
@options.job_id
@argument(
    "patterns",
    "Only artifacts that match: paths, directories, or patterns such as 'output/**/*.png'",
    nargs=-1,
    metavar="[PATTERN]...",
)
@option("--download", metavar="DIR", help="Download the artifacts to this directory")
@options.as_json
@options.server
@options.api_key
@exits
def artifacts(
    job_id: str,
    patterns: Sequence[str],
    download: str | None,
    as_json: bool,
    server: str | None,
    api_key: str | None,
) -> int:
    """List or download a job's artifacts.

    In patterns, *, ? and [...] match within one name, ** matches any number of directories, and a
    directory matches everything in it. Quote patterns, or the shell expands them.
    """
    from ci_client.command.artifacts import download_artifacts, show_artifacts

    choice = server_choice(server, api_key)
    if download is not None:
        return download_artifacts(job_id, choice, download, patterns)
    return show_artifacts(job_id, choice, as_json, patterns)


@click.command(
    cls=Command,
    context_settings=HELP,
    examples=(
        ("ci cancel 4f1c2d3e", "a short id is enough"),
        ("ci cancel 4f1c2d3e && ci wait 4f1c2d3e", "and wait until it ends"),
    ),
)
@options.unfinished_job_id
@options.server
@options.api_key
@exits
def cancel(job_id: str, server: str | None, api_key: str | None) -> int:
    """Cancel a job."""
    from ci_client.command.queries import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))
