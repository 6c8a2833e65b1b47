"""`ci model`: its commands, their arguments and their help."""

from typing import Annotated

import typer

from ci_client.command.lean_typer import LeanCommand, LeanGroup
from ci_client.command.options import (
    SETTINGS,
    ApiKey,
    Exclude,
    Include,
    JobId,
    Json,
    Priority,
    Server,
    reported,
    server_choice,
)

model_app = typer.Typer(
    cls=LeanGroup,
    help="Value models of the calculation engine on a CI server.",
    no_args_is_help=True,
    **SETTINGS,
)

Directory = Annotated[
    str,
    typer.Argument(
        metavar="DIR", help="The model: has model.toml or livecalc.config.json", show_default=False
    ),
]


@model_app.command(cls=LeanCommand)
@reported
def submit(
    directory: Directory,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What people call the model [default: the directory's name]",
            show_default=False,
        ),
    ] = None,
    priority: Priority = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory for the results [default: NAME-results-ID, a new one]",
            show_default=False,
        ),
    ] = None,
    verify_local: Annotated[
        bool,
        typer.Option(
            "--verify-local",
            help="Also value the model on this machine, running its hooks, and compare",
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the job's id and return at once")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --detach: output the server's answer, JSON")
    ] = False,
    include: Include = None,
    exclude: Exclude = None,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """Send a model to the server, follow its job and fetch the results.

    The package gets a manifest.json of its files; nothing is written into DIR. The model is valued
    as it is: `ci submit engine` has --scenarios, --seed and other options that override it.

    The log goes to stdout, everything else to stderr. Ctrl-C cancels the job.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out.
    """
    from ci_client.command.model_jobs import ModelSubmission
    from ci_client.command.model_jobs import submit as carry_out

    return carry_out(
        ModelSubmission(
            directory,
            name,
            priority,
            include or (),
            exclude or (),
            detach,
            as_json,
            output,
            verify_local,
            server_choice(server, api_key),
        )
    )


@model_app.command(cls=LeanCommand)
@reported
def package(
    directory: Directory,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.zip",
            help="Where to write it [default: DIR.zip, here]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    include: Include = None,
    exclude: Exclude = None,
) -> int:
    """Write the package that `submit` would send into a file.

    The same directory gives the same file, byte for byte.
    """
    from ci_client.command.model_packaging import package as carry_out

    return carry_out(directory, output, include or (), exclude or (), as_json)


@model_app.command(cls=LeanCommand)
@reported
def status(
    job_id: JobId, as_json: Json = False, server: Server = None, api_key: ApiKey = None
) -> int:
    """Show a model's job, with its statistics or why it failed."""
    from ci_client.command.model_jobs import status as carry_out

    return carry_out(job_id, server_choice(server, api_key), as_json)


@model_app.command(cls=LeanCommand)
@reported
def watch(
    job_id: JobId,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="At the end, put the results into this directory",
            show_default=False,
        ),
    ] = None,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """Follow a job from its beginning until it ends, and exit like `submit`.

    Shows log, progress and results. Ctrl-C only stops watching.
    """
    from ci_client.command.model_jobs import watch as carry_out

    return carry_out(job_id, server_choice(server, api_key), output)


@model_app.command(cls=LeanCommand)
@reported
def results(
    job_id: JobId,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory for them [default: NAME-results-ID, a new one]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """Fetch the results of a job that has succeeded, check their hashes and show them."""
    from ci_client.command.model_jobs import results as carry_out

    return carry_out(job_id, server_choice(server, api_key), output, as_json)


@model_app.command(cls=LeanCommand)
@reported
def cancel(job_id: JobId, server: Server = None, api_key: ApiKey = None) -> int:
    """Cancel a job, also one that is already running."""
    from ci_client.command.model_jobs import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))
