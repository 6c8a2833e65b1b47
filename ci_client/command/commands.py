"""The commands, their arguments and their help. Everything heavy is imported when it is used."""

import json
from typing import Annotated, Any, Literal

import typer
from typing_extensions import override

from ci_client.command.color import ColorChoice
from ci_client.command.lean_typer import LeanCommand, LeanGroup
from ci_client.command.model_commands import model_app
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
from ci_common.job import JobStatus

_COMMAND = "ci_client.command"


class SubmitCommand(LeanCommand):
    """A command with `-- COMMAND…` at its end, which is not to be taken for NAME."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set aside what follows the first `--`."""
        own, dashes, command = _split(args)
        if dashes and not command:
            ctx.fail("There is no command after --.")
        ctx.meta[_COMMAND] = command or None
        return super().parse_args(ctx, own)

    @override
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line, with the part that the parser does not know."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    at = args.index("--")
    return args[:at], True, args[at + 1 :]


app = typer.Typer(
    cls=LeanGroup,
    help="Run the tests of a directory on a CI server and follow their log.",
    no_args_is_help=True,
    **SETTINGS,
)
submit_app = typer.Typer(**SETTINGS)
app.add_typer(model_app, name="model")


def _multiplier(what: str) -> Any:
    """An option of the calculation engine."""
    told = f"engine: multiply {what} by X (overrides the model)"
    return typer.Option(min=0, metavar="X", help=told)


def _check_timeout(timeout: str | None) -> None:
    # The server would refuse it, too, but only after the project was packed and sent.
    from ci_client.errors import UsageError
    from ci_common.durations import parse_seconds

    try:
        if timeout is None or parse_seconds(timeout) > 0:
            return
    except ValueError as error:
        raise UsageError(f"--timeout: {error}. Example: --timeout 10m") from None
    raise UsageError("--timeout must be greater than zero, for example 10m")


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("ci-runner")
    except PackageNotFoundError:  # run from its sources
        number = "(not installed)"
    print(f"ci {number}", flush=True)
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit"
        ),
    ] = False,
) -> None:
    pass


@submit_app.command(cls=SubmitCommand)
@app.command(cls=SubmitCommand)
@reported
def submit(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Job from the project's [tool.ci.jobs] table, or engine [default: test]",
        ),
    ] = None,
    path: Annotated[str, typer.Option(metavar="DIR", help="The project's directory")] = ".",
    detach: Annotated[
        bool, typer.Option("--detach", "--async", help="Print the job's id and return at once")
    ] = False,
    server: Server = None,
    api_key: ApiKey = None,
    include: Include = None,
    exclude: Exclude = None,
    priority: Priority = None,
    retries: Annotated[
        int | None,
        typer.Option(
            min=0, max=10, metavar="N", help="Restart up to N times if the container is lost"
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Override the job's timeout, e.g. 30s, 10m, 1h"),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Pass this environment variable as a secret, masked in the log; may be repeated",
            show_default=False,
        ),
    ] = None,
    secret_file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="Pass this file as the secret /run/secrets/NAME; may be repeated",
            show_default=False,
        ),
    ] = None,
    git: Annotated[
        bool | None,
        typer.Option(
            "--git/--no-git",
            help="Send the commit as a small git repository (overrides the project's table)",
            show_default=False,
        ),
    ] = None,
    no_install: Annotated[
        bool,
        typer.Option("--no-install", help="Install nothing of the project before the command"),
    ] = False,
    tty: Annotated[
        bool | None,
        typer.Option(
            "--tty/--no-tty",
            help="Run the command on a terminal, which ends lines with CR LF",
            show_default=False,
        ),
    ] = None,
    color: Annotated[
        ColorChoice,
        typer.Option(
            metavar="WHEN",
            help="Tell programs to use colors: always, never, or auto: if stdout is a terminal",
        ),
    ] = ColorChoice.AUTO,
    private: Annotated[
        bool, typer.Option("--private", help="Show the job only to you and to administrators")
    ] = False,
    scenarios: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="engine: number of scenarios")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="S", help="engine: seed for generating scenarios")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="engine: number of threads")
    ] = None,
    per_policy: Annotated[
        bool, typer.Option("--per-policy", help="engine: also output values by policy")
    ] = False,
    mortality_mult: Annotated[float | None, _multiplier("mortality")] = None,
    lapse_mult: Annotated[float | None, _multiplier("lapses")] = None,
    expense_mult: Annotated[float | None, _multiplier("expenses")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="engine: directory for the results [default: MODEL-results-ID, a new one]",
            show_default=False,
        ),
    ] = None,
    verify_local: Annotated[
        bool,
        typer.Option(
            "--verify-local",
            help="engine: also value the model on this machine, running its hooks, and compare",
        ),
    ] = False,
) -> int:
    """Send a directory to the server, run its tests there and follow the log.

    The job engine values a model: a directory with model.toml or livecalc.config.json.

    The log goes to stdout, everything else to stderr. Ctrl-C cancels the job.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out.
    """
    from ci_client.command.color import wants_color
    from ci_client.command.model_run import ModelOptions, job_command, model_run
    from ci_client.command.submitting import Submission
    from ci_client.command.submitting import submit as carry_out
    from ci_client.errors import UsageError
    from ci_client.library.job_request import JobRequest
    from ci_client.library.secret_options import read_secrets

    _check_timeout(timeout)
    command = context.meta[_COMMAND]
    multipliers = (mortality_mult, lapse_mult, expense_mult)
    options = ModelOptions(scenarios, seed, threads, per_policy, *multipliers, output, verify_local)
    model = model_run(path, None if command else name, options)
    if model is not None:
        if detach and (output is not None or verify_local):
            raise UsageError("--output and --verify-local need the job's end: leave out --detach.")
        if tty:
            raise UsageError(
                "--tty is not for the job engine, whose progress is read from its log."
            )
        command = job_command(options)
    given = read_secrets(secret or (), secret_file or ())
    install: Literal[False] | None = False if no_install else None
    request = JobRequest(
        name,
        command,
        priority,
        retries,
        timeout,
        given,
        install,
        tty,
        wants_color(color),
        private=private or None,
    )
    return carry_out(
        Submission(
            path,
            request,
            include or (),
            exclude or (),
            detach,
            server_choice(server, api_key),
            model,
            git,
        )
    )


@app.command(cls=LeanCommand)
@reported
def wait(
    job_id: JobId,
    everything: Annotated[
        bool, typer.Option("--all", help="Show the log from its beginning instead of from now on")
    ] = False,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """Follow a job until it ends, and exit like `submit`. Ctrl-C only stops watching."""
    from ci_client.command.queries import wait_for

    return wait_for(job_id, server_choice(server, api_key), everything)


@app.command(cls=LeanCommand)
@reported
def logs(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the job ends, like `wait`")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Start with the last N lines")
    ] = None,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """Print a job's log."""
    from ci_client.command.queries import print_log

    return print_log(job_id, server_choice(server, api_key), follow, tail)


@app.command("list", cls=LeanCommand)
@reported
def list_command(
    as_json: Json = False,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs with this status")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N jobs, default 100", show_default=False),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only jobs older than this one", show_default=False),
    ] = None,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """List jobs, newest first."""
    from ci_client.command.listing import WantedJobs, list_jobs

    return list_jobs(server_choice(server, api_key), WantedJobs(status, limit, before), as_json)


@app.command(cls=LeanCommand)
@reported
def status(
    job_id: JobId, as_json: Json = False, server: Server = None, api_key: ApiKey = None
) -> int:
    """Show the details of a job."""
    from ci_client.command.display import job_details
    from ci_client.command.queries import job

    found = job(job_id, server_choice(server, api_key))
    print(json.dumps(found, indent=2) if as_json else job_details(found), flush=True)
    return 0


@app.command(cls=LeanCommand)
@reported
def artifacts(
    job_id: JobId,
    download: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Download them into this directory", show_default=False),
    ] = None,
    as_json: Json = False,
    server: Server = None,
    api_key: ApiKey = None,
) -> int:
    """List or download a job's artifacts."""
    from ci_client.command.queries import download_artifacts, show_artifacts

    if download is not None:
        return download_artifacts(job_id, server_choice(server, api_key), download)
    return show_artifacts(job_id, server_choice(server, api_key), as_json)


@app.command(cls=LeanCommand)
@reported
def cancel(job_id: JobId, server: Server = None, api_key: ApiKey = None) -> int:
    """Cancel a job."""
    from ci_client.command.queries import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))
