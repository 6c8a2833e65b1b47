"""The command `ci`: its groups and commands, which modules of their own define."""

import click

from ci_client.command import job_commands
from ci_client.command.init_command import init
from ci_client.command.model_commands import model_app
from ci_client.command.programs import HELP, Group
from ci_client.command.run_command import run_like
from ci_client.command.server_command import server
from ci_client.command.submit_command import submit


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from ci_client.command.version import client_version

    print(f"ci {client_version()}", flush=True)
    context.exit()


@click.group(cls=Group, no_args_is_help=True, context_settings=HELP)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Print the version and exit",
)
def app() -> None:
    """Run the tests of a directory on a CI server and follow their log."""


app.add_command(submit)
app.add_command(run_like(submit))
app.add_command(job_commands.wait)
app.add_command(job_commands.logs)
app.add_command(job_commands.list_command)
app.add_command(job_commands.status)
app.add_command(job_commands.artifacts)
app.add_command(job_commands.cancel)
app.add_command(server)
app.add_command(init)
app.add_command(model_app, "model")
