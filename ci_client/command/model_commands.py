"""`ci model`: its commands, their arguments and their help."""

from collections.abc import Sequence

import click

from ci_client.command import options
from ci_client.command.options import server_choice
from ci_client.command.programs import HELP, Group, argument, exits, option

_directory = argument(
    "directory", "Directory of the model, with model.toml or livecalc.config.json", metavar="DIR"
)


@click.group(
    cls=Group,
    no_args_is_help=True,
    context_settings=HELP,
    examples=(
        ("ci model submit examples/term_life", "value a model and fetch the results"),
        ("ci model watch 4f1c2d3e", "follow a model's job"),
    ),
)
def model_app() -> None:
    """Value models of the calculation engine on a CI server."""


@model_app.command(
    examples=(
        ("ci model submit examples/term_life", "value it"),
        ("ci model submit my-model --output results", "save them to results"),
        ("ci model submit my-model --detach", "print the id"),
    ),
)
@_directory
@option(
    "--name",
    metavar="NAME",
    help="Display name of the model [default: the directory's name]",
)
@options.priority
@option(
    "--output",
    metavar="DIR",
    help="Directory for the results [default: NAME-results-ID, a new one]",
)
@option(
    "--verify-local",
    is_flag=True,
    help="Also value the model locally (this runs its hooks) and compare",
)
@option("--detach", is_flag=True, help="Print the job's id and return at once")
@options.detach_on_signal
@option(
    "--json", "as_json", is_flag=True, help="With --detach: output the server's response as JSON"
)
@options.include
@options.exclude
@options.server
@options.api_key
@exits
def submit(
    directory: str,
    name: str | None,
    priority: int | None,
    output: str | None,
    verify_local: bool,
    detach: bool,
    detach_on_signal: bool,
    as_json: bool,
    include: Sequence[str],
    exclude: Sequence[str],
    server: str | None,
    api_key: str | None,
) -> int:
    """Send a model to the server, follow its job and fetch the results.

    The package gets a manifest.json of its files; nothing is written to DIR. To override the model
    (--scenarios, --seed, …), use `ci submit engine`.

    The log goes to stdout, everything else to stderr. Ctrl-C and SIGTERM cancel the job and wait
    until it has ended.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out.
    """
    from ci_client.command.model_jobs import ModelSubmission
    from ci_client.command.model_jobs import submit as carry_out

    return carry_out(
        ModelSubmission(
            directory,
            name,
            priority,
            include,
            exclude,
            detach,
            as_json,
            output,
            verify_local,
            detach_on_signal,
            server_choice(server, api_key),
        )
    )


@model_app.command(
    examples=(
        ("ci model package my-model", "write my-model.zip"),
        ("ci model package my-model -o build/model.zip", "write to another file"),
    ),
)
@_directory
@option(
    "--output",
    "-o",
    metavar="FILE.zip",
    help="Output file [default: DIR.zip in the current directory]",
)
@options.as_json
@options.include
@options.exclude
@exits
def package(
    directory: str,
    output: str | None,
    as_json: bool,
    include: Sequence[str],
    exclude: Sequence[str],
) -> int:
    """Write the package that `submit` would send to a file.

    The same directory gives the same file, byte for byte.
    """
    from ci_client.command.model_packaging import package as carry_out

    return carry_out(directory, output, include, exclude, as_json)


@model_app.command(
    examples=(
        ("ci model status 4f1c2d3e", "status and statistics"),
        ("ci model status 4f1c2d3e --json", "as JSON"),
    ),
)
@options.job_id
@options.as_json
@options.server
@options.api_key
@exits
def status(job_id: str, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show a model's job, with its statistics or why it failed."""
    from ci_client.command.model_jobs import status as carry_out

    return carry_out(job_id, server_choice(server, api_key), as_json)


@model_app.command(
    short_help="Follow a job from start to end.",
    examples=(
        ("ci model watch 4f1c2d3e", "log, progress and result"),
        ("ci model watch 4f1c2d3e --output results", "and save the results"),
    ),
)
@options.job_id
@option("--output", metavar="DIR", help="Save the results to this directory at the end")
@options.server
@options.api_key
@exits
def watch(job_id: str, output: str | None, server: str | None, api_key: str | None) -> int:
    """Follow a job from start to end, and exit like `submit`.

    Shows log, progress and results. Ctrl-C only stops watching.
    """
    from ci_client.command.model_jobs import watch as carry_out

    return carry_out(job_id, server_choice(server, api_key), output)


@model_app.command(
    short_help="Fetch, check and show the results of a job.",
    examples=(
        ("ci model results 4f1c2d3e", "into a new directory"),
        ("ci model results 4f1c2d3e --output results", "into results"),
    ),
)
@options.job_id
@option(
    "--output",
    metavar="DIR",
    help="Directory for the results [default: NAME-results-ID, a new one]",
)
@options.as_json
@options.server
@options.api_key
@exits
def results(
    job_id: str,
    output: str | None,
    as_json: bool,
    server: str | None,
    api_key: str | None,
) -> int:
    """Fetch the results of a job that succeeded, check their hashes, and show them."""
    from ci_client.command.model_jobs import results as carry_out

    return carry_out(job_id, server_choice(server, api_key), output, as_json)


@model_app.command(
    examples=(
        ("ci model cancel 4f1c2d3e", "a short id is enough"),
        ("ci model cancel 4f1c2d3e --server https://ci.example.com", "on another server"),
    ),
)
@options.unfinished_job_id
@options.server
@options.api_key
@exits
def cancel(job_id: str, server: str | None, api_key: str | None) -> int:
    """Cancel a queued or running job."""
    from ci_client.command.model_jobs import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))
