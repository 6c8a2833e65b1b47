"""`ci run`, as a command: the arguments of `ci submit` that make sense without a server."""

from typing import Any

import click

from ci_client.command.programs import HELP
from ci_client.command.submit_command import CARRY_OUT, submit

_PROFILE = "profile"
_NOT_OF_RUN: dict[str, Any] = {
    "detach": False,
    "detach_on_signal": False,
    "server": None,
    "api_key": None,
    "priority": None,
    "label": (),
    "private": False,
    "notify": (),
}
"""Parameters of `submit` that are about a server which stays, with their values."""

_EXAMPLES = (
    ("ci run --path my-project", "run the job test"),
    ("ci run lint", "run the job lint of this directory"),
    ("ci run --image node:22 -- npm test", "run a command in another image"),
)

_ABOUT = """Run a directory's tests on this machine, without a server.

Like `ci submit`, but on a temporary server for this job only. The server is removed, with its
containers and files, when the job ends, after Ctrl-C, and when this command is killed. Requires
Docker.

The log goes to stdout, everything else to stderr. Exit codes: 0 passed, 1 failed, 2 usage,
3 infrastructure failure, 4 cancelled, 5 timed out, 130 Ctrl-C.
"""


@click.pass_context
def _run(context: click.Context, /, **options: Any) -> None:
    from ci_client.command import local_run

    context.meta[CARRY_OUT] = local_run.run
    context.invoke(submit, **_NOT_OF_RUN, **options)


run = type(submit)(
    "run",
    params=[one for one in submit.params if one.name not in {*_NOT_OF_RUN, _PROFILE}],
    callback=_run,
    help=_ABOUT,
    short_help="Run a directory's tests locally, without a server.",
    examples=_EXAMPLES,
    context_settings=HELP,
)
"""`ci run`."""
