"""The command `ci`: its groups and commands, which modules of their own define."""

import click

from ci_client.command import job_commands
from ci_client.command.completion_command import completion
from ci_client.command.init_command import init
from ci_client.command.login_commands import login, logout
from ci_client.command.model_commands import model_app
from ci_client.command.programs import HELP, Group, Section
from ci_client.command.rerun_command import rerun
from ci_client.command.run_command import run_like
from ci_client.command.server_command import server
from ci_client.command.submit_command import submit
from ci_client.command.whoami_command import whoami


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from ci_client.command.version import client_version

    print(f"ci {client_version()}", flush=True)
    context.exit()


@click.group(
    cls=Group,
    no_args_is_help=True,
    context_settings=HELP,
    examples=(
        ("ci submit --path my-project", "run its tests and follow the log"),
        ("ci list --mine", "my jobs, newest first"),
        ("ci logs -f", "follow the log of my newest job"),
        ("ci COMMAND --help", "options and examples of a command"),
    ),
)
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


app.add_command(submit, section=Section.RUN)
app.add_command(rerun, section=Section.RUN)
app.add_command(run_like(submit), section=Section.RUN)
app.add_command(job_commands.cancel, section=Section.RUN)
app.add_command(model_app, "model", section=Section.RUN)
app.add_command(job_commands.list_command, section=Section.LOOK)
app.add_command(job_commands.status, section=Section.LOOK)
app.add_command(job_commands.logs, section=Section.LOOK)
app.add_command(job_commands.wait, section=Section.LOOK)
app.add_command(job_commands.artifacts, section=Section.LOOK)
app.add_command(init, section=Section.SET_UP)
app.add_command(login, section=Section.SET_UP)
app.add_command(logout, section=Section.SET_UP)
app.add_command(whoami, section=Section.SET_UP)
app.add_command(server, section=Section.SET_UP)
app.add_command(completion, section=Section.SET_UP)
