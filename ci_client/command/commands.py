"""The command `ci`: its groups and commands, which modules of their own define."""

import click

from ci_client.command import job_commands
from ci_client.command.login_commands import login, logout
from ci_client.command.model_commands import model_app
from ci_client.command.programs import HELP, Group
from ci_client.command.submit_command import submit
from ci_client.command.whoami_command import whoami


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("ci-runner")
    except PackageNotFoundError:  # run from its sources
        number = "(not installed)"
    print(f"ci {number}", flush=True)
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
app.add_command(job_commands.wait)
app.add_command(job_commands.logs)
app.add_command(job_commands.list_command)
app.add_command(job_commands.status)
app.add_command(job_commands.artifacts)
app.add_command(job_commands.cancel)
app.add_command(model_app, "model")
app.add_command(login)
app.add_command(logout)
app.add_command(whoami)
