"""`ci open`: its arguments and its help."""

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Command, exits, option


@click.command(
    "open",
    cls=Command,
    context_settings=HELP,
    short_help="Open a job's page in the browser.",
    examples=(
        ("ci open", "my newest job"),
        ("ci open 4f1c2d3e", "this job"),
        ("ci open --print", "only print the page's address"),
    ),
)
@options.job_id_or_newest
@option("--print", "only_print", is_flag=True, help="Print the address and open nothing")
@options.server
@options.api_key
@exits
def open_job(job_id: str | None, only_print: bool, server: str | None, api_key: str | None) -> int:
    """Open a job's page on the server's dashboard in the browser.

    In a pipe, and where there is no display, the address is printed instead. $BROWSER names the
    browser.
    """
    from ci_client.command.job_page import open_page

    return open_page(job_id, server_choice(server, api_key), only_print=only_print)
