"""The command `ci`: its groups and commands, which modules of their own define."""

import click

from ci_client.command.programs import HELP, Group, Section, Unloaded


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


_COMMANDS = {
    Section.RUN: (
        (
            "submit",
            "submit_command",
            "submit",
            "Run a directory's tests, or any command, on the server.",
        ),
        (
            "rerun",
            "rerun_command",
            "rerun",
            "Run a job again, with the files it was submitted with.",
        ),
        ("run", "run_command", "run", "Run a directory's tests locally, without a server."),
        ("cancel", "job_commands", "cancel", "Cancel a job."),
        (
            "model",
            "model_commands",
            "model_app",
            "Value models of the calculation engine on a CI server.",
        ),
    ),
    Section.LOOK: (
        ("list", "job_commands", "list_command", "List jobs, newest first."),
        ("watch", "watch_command", "watch", "Show a live list of jobs."),
        ("status", "job_commands", "status", "Show the details of a job."),
        ("logs", "job_commands", "logs", "Print the logs of jobs."),
        ("wait", "job_commands", "wait", "Follow a job until it ends, and exit like `submit`."),
        ("artifacts", "job_commands", "artifacts", "List or download a job's artifacts."),
        ("open", "open_command", "open_job", "Open a job's page in the browser."),
    ),
    Section.SET_UP: (
        (
            "init",
            "init_command",
            "init",
            "Write a job configuration, with comments, for the project.",
        ),
        ("login", "login_commands", "login", "Check your API key for a server and store it."),
        (
            "logout",
            "login_commands",
            "logout",
            "Remove the stored API key of a server or a profile.",
        ),
        (
            "whoami",
            "whoami_command",
            "whoami",
            "Show your user, server and key, and their sources.",
        ),
        (
            "server",
            "server_command",
            "server",
            "Show the server's version, readiness and limits.",
        ),
        (
            "completion",
            "completion_command",
            "completion",
            "Print the shell completion script for `ci`.",
        ),
    ),
}
"""By the section of the help: name, module and attribute, and what the help says."""

for _section, _commands in _COMMANDS.items():
    for _name, _module, _attribute, _summary in _commands:
        _unloaded = Unloaded(f"ci_client.command.{_module}", _attribute, _summary)
        app.add_unloaded(_name, _unloaded, _section)
