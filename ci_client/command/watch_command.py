"""`ci watch`: its options and its help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits, option


@click.command(
    "watch",
    cls=Command,
    context_settings=HELP,
    short_help="Watch the list of jobs change.",
    examples=(
        ("ci watch", "all jobs that you may see, live"),
        ("ci watch --mine", "only yours"),
        ("ci watch --json | jq .kind", "every event, for programs"),
    ),
)
@option("--mine", is_flag=True, help="Only my jobs")
@option("--json", "as_json", is_flag=True, help="Output the jobs' events as JSON, one per line")
@options.server
@options.api_key
@exits
def watch(mine: bool, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Watch jobs: on a terminal a live table of the newest ones, through a pipe a line for each
    event. It goes on until Ctrl-C.
    """
    from ci_client.command.job_watch import watch_jobs

    return watch_jobs(server_choice(server, api_key), mine=mine, as_json=as_json)
