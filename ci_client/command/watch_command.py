"""`ci watch`: its options and its help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits, option


@click.command(
    "watch",
    cls=Command,
    context_settings=HELP,
    short_help="Show a live list of jobs.",
    examples=(
        ("ci watch", "all jobs that you may see"),
        ("ci watch --mine", "only my jobs"),
        ("ci watch --json | jq .kind", "every event, as JSON"),
    ),
)
@option("--mine", is_flag=True, help="Only my jobs")
@option("--json", "as_json", is_flag=True, help="Output the jobs' events as JSON, one per line")
@options.server
@options.api_key
@exits
def watch(mine: bool, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show a live table of the newest jobs on a terminal, or one line per event in a pipe.

    It runs until Ctrl-C.
    """
    from ci_client.command.job_watch import watch_jobs

    return watch_jobs(server_choice(server, api_key), mine=mine, as_json=as_json)
