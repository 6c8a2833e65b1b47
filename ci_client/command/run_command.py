"""`ci run`, as a command: the arguments of `ci submit` that make sense without a server."""

from typing import Any

import click

from ci_client.command.programs import HELP

CARRY_OUT = "ci_client.carry_out"
"""The key of a context's `meta` with what is to be done with a submission, in place of sending it
to the server.
"""

_NOT_OF_RUN: dict[str, Any] = {
    "detach": False,
    "detach_on_signal": False,
    "server": None,
    "api_key": None,
    "priority": None,
    "label": (),
    "private": False,
}
"""Parameters of `submit` that are about a server which stays, with their values."""

_ABOUT = """Run a directory's tests on this machine, without a server.

It does what `ci submit` does: a server is started for this job alone, and removed with its
containers and files at the end, also after Ctrl-C or when this command is killed. Needs Docker.

The log goes to stdout, everything else to stderr. Exit codes: 0 passed, 1 failed, 2 usage,
3 infrastructure failure, 4 cancelled, 5 timed out.
"""


def run_like(submit: click.Command) -> click.Command:
    """The command, whose parameters are those of `submit`."""

    @click.pass_context
    def run(context: click.Context, /, **options: Any) -> None:
        from ci_client.command import local_run

        context.meta[CARRY_OUT] = local_run.run
        context.invoke(submit, **_NOT_OF_RUN, **options)

    return type(submit)(
        "run",
        params=[one for one in submit.params if one.name not in _NOT_OF_RUN],
        callback=run,
        help=_ABOUT,
        context_settings=HELP,
    )
