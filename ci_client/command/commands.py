"""The commands, their arguments and their help. Everything heavy is imported when it is used."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import click
from typing_extensions import override

from ci_client.command import options
from ci_client.command.color import ColorChoice
from ci_client.command.model_commands import model_app
from ci_client.command.options import server_choice
from ci_client.command.programs import (
    HELP,
    Command,
    Group,
    Number,
    Whole,
    argument,
    exits,
)
from ci_client.command.rerun_command import rerun

_COMMAND = "ci_client.command"


class SubmitCommand(Command):
    """A command with `-- COMMAND…` at its end, which is not to be taken for NAME."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what follows the first `--`."""
        own, dashes, command = _split(args)
        if dashes and not command:
            ctx.fail("There is no command after --.")
        ctx.meta[_COMMAND] = command or None
        return super().parse_args(ctx, own)

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the part that the parser does not know."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    at = args.index("--")
    return args[:at], True, args[at + 1 :]


def _checked_status(
    context: click.Context, option: click.Parameter, status: str | None
) -> str | None:
    if status is None:
        return None
    from ci_common.job_states import JobStatus

    return click.Choice(list(map(str, JobStatus))).convert(status, option, context)


_STATUS = "Only jobs that are queued, initializing, running, completed, failed or cancelled"


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


def _multiplier(name: str, what: str) -> Callable[[Any], Any]:
    """An option of the calculation engine."""
    told = f"engine: multiply {what} by X (overrides the model)"
    return click.option(name, type=Number(min=0), metavar="X", help=told)


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


@click.command("submit", cls=SubmitCommand, context_settings=HELP)
@argument(
    "name",
    "Job from the project's [tool.ci.jobs] table, or engine [default: test]",
    required=False,
    metavar="[NAME]",
)
@click.option("--path", default=".", metavar="DIR", help="The project's directory [default: .]")
@options.detach
@options.detach_on_signal
@options.server
@options.api_key
@options.include
@options.exclude
@options.priority
@click.option(
    "--retries",
    type=Whole(0, 10),
    metavar="N",
    help="Restart up to N times if the container is lost",
)
@click.option("--timeout", metavar="TIME", help="Override the job's timeout, e.g. 30s, 10m, 1h")
@click.option("--image", metavar="IMAGE", help="Container image (overrides the project's table)")
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a variable of the job, which is not secret; may be repeated",
)
@click.option(
    "--env-file",
    multiple=True,
    metavar="FILE",
    help="Set the variables in the lines NAME=VALUE of FILE; may be repeated",
)
@click.option(
    "--memory", metavar="SIZE", help="Limit of memory, e.g. 512MB, 2GB (overrides the table)"
)
@click.option(
    "--cpu", type=Whole(min=1), metavar="N", help="Percent of one core (overrides the table)"
)
@click.option(
    "--artifacts",
    multiple=True,
    metavar="PATTERN",
    help="Keep matching files (overrides the table); may be repeated",
)
@click.option(
    "--label",
    multiple=True,
    metavar="KEY=VALUE",
    help="Give the job a label, by which `ci list` finds it; may be repeated",
)
@options.download
@options.events_as_json
@options.secret
@options.secret_file
@click.option(
    "--git/--no-git",
    default=None,
    help="Send the commit as a small git repository (overrides the project's table)",
)
@click.option(
    "--no-install", is_flag=True, help="Install nothing of the project before the command"
)
@click.option(
    "--tty/--no-tty",
    default=None,
    help="Run the command on a terminal, which ends lines with CR LF",
)
@click.option(
    "--color",
    type=click.Choice(list(map(str, ColorChoice))),
    default=str(ColorChoice.AUTO),
    metavar="WHEN",
    help="Tell programs to use colors: always, never, or auto: if stdout is a terminal [default: "
    "auto]",
)
@click.option("--private", is_flag=True, help="Show the job only to you and to administrators")
@click.option("--scenarios", type=Whole(min=1), metavar="N", help="engine: number of scenarios")
@click.option(
    "--seed",
    type=Whole(min=0),
    metavar="S",
    help="engine: seed for generating scenarios",
)
@click.option("--threads", type=Whole(min=1), metavar="N", help="engine: number of threads")
@click.option("--per-policy", is_flag=True, help="engine: also output values by policy")
@_multiplier("--mortality-mult", "mortality")
@_multiplier("--lapse-mult", "lapses")
@_multiplier("--expense-mult", "expenses")
@click.option(
    "--output",
    metavar="DIR",
    help="engine: directory for the results [default: MODEL-results-ID, a new one]",
)
@click.option(
    "--verify-local",
    is_flag=True,
    help="engine: also value the model on this machine, running its hooks, and compare",
)
@click.pass_context
@exits
def submit(
    context: click.Context,
    name: str | None,
    path: str,
    detach: bool,
    detach_on_signal: bool,
    server: str | None,
    api_key: str | None,
    include: Sequence[str],
    exclude: Sequence[str],
    priority: int | None,
    retries: int | None,
    timeout: str | None,
    image: str | None,
    env: Sequence[str],
    env_file: Sequence[str],
    memory: str | None,
    cpu: int | None,
    artifacts: Sequence[str],
    label: Sequence[str],
    download: str | None,
    as_json: bool,
    secret: Sequence[str],
    secret_file: Sequence[str],
    git: bool | None,
    no_install: bool,
    tty: bool | None,
    color: str,
    private: bool,
    scenarios: int | None,
    seed: int | None,
    threads: int | None,
    per_policy: bool,
    mortality_mult: float | None,
    lapse_mult: float | None,
    expense_mult: float | None,
    output: str | None,
    verify_local: bool,
) -> int:
    """Send a directory to the server, run its tests there and follow the log.

    The job engine values a model: a directory with model.toml or livecalc.config.json.

    The log goes to stdout, everything else to stderr. Ctrl-C and SIGTERM cancel the job and wait
    for its end.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out.
    """
    from ci_client.command.color import wants_color
    from ci_client.command.model_run import ModelOptions, job_command, model_run
    from ci_client.command.submitting import Submission
    from ci_client.command.submitting import submit as carry_out
    from ci_client.errors import UsageError
    from ci_client.library.job_options import read_labels, read_variables
    from ci_client.library.job_request import JobRequest
    from ci_client.library.secret_options import read_secrets

    _check_timeout(timeout)
    command = context.meta[_COMMAND]
    multipliers = (mortality_mult, lapse_mult, expense_mult)
    asked = ModelOptions(scenarios, seed, threads, per_policy, *multipliers, output, verify_local)
    model = model_run(path, None if command else name, asked)
    if model is not None:
        if detach and (output is not None or verify_local):
            raise UsageError("--output and --verify-local need the job's end: leave out --detach.")
        if tty:
            raise UsageError(
                "--tty is not for the job engine, whose progress is read from its log."
            )
        command = job_command(asked)
    given = read_secrets(secret, secret_file)
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
        wants_color(ColorChoice(color)),
        image,
        read_variables(env_file, env) or None,
        artifacts or None,
        cpu,
        int(memory) if memory and memory.isdecimal() else memory,
        read_labels(label) or None,
        private or None,
    )
    return carry_out(
        Submission(
            path,
            request,
            include,
            exclude,
            detach,
            server_choice(server, api_key),
            model,
            git,
            detach_on_signal,
            as_json,
            download,
        )
    )


app.add_command(submit)
app.add_command(rerun)


@app.command()
@options.job_id_or_newest
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Show the log from its beginning instead of from now on",
)
@options.server
@options.api_key
@exits
def wait(job_id: str | None, everything: bool, server: str | None, api_key: str | None) -> int:
    """Follow a job until it ends, and exit like `submit`. Ctrl-C only stops watching."""
    from ci_client.command.queries import wait_for

    return wait_for(job_id, server_choice(server, api_key), everything)


@app.command()
@options.job_id_or_newest
@click.option("--follow", "-f", is_flag=True, help="Follow the log until the job ends, like `wait`")
@click.option("--tail", type=Whole(min=0), metavar="N", help="Start with the last N lines")
@options.server
@options.api_key
@exits
def logs(
    job_id: str | None, follow: bool, tail: int | None, server: str | None, api_key: str | None
) -> int:
    """Print a job's log."""
    from ci_client.command.queries import print_log

    return print_log(job_id, server_choice(server, api_key), follow, tail)


@app.command("list")
@options.as_json
@click.option("--failed", is_flag=True, help="Only jobs that failed, also those whose tests did")
@click.option("--mine", is_flag=True, help="Only my jobs")
@click.option("--name", metavar="NAME", help="Only jobs of this name in the project's table")
@click.option("--user", metavar="USER", help="Only jobs of this user")
@click.option(
    "--since", metavar="TIME", help="Submitted since 30m, 2h, 7d ago, or a date such as 2026-11-28"
)
@click.option("--until", metavar="TIME", help="Submitted before then")
@click.option(
    "--label",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only jobs with this label, e.g. git.branch=main; may be repeated",
)
@click.option("--reason", metavar="REASON", help="Only jobs that ended for it, e.g. timeout, oom")
@click.option(
    "--text", metavar="WORDS", help="Only jobs with these words in command, labels, message, names"
)
@click.option("--status", callback=_checked_status, metavar="STATUS", help=_STATUS)
@click.option("--limit", type=Whole(min=1), metavar="N", help="At most N jobs, default 100")
@click.option("--before", metavar="ID", help="Only jobs older than this one")
@options.server
@options.api_key
@exits
def list_command(
    as_json: bool,
    failed: bool,
    label: Sequence[str],
    limit: int | None,
    before: str | None,
    server: str | None,
    api_key: str | None,
    **filters: Any,
) -> int:
    """List jobs, newest first."""
    from ci_client.command.listing import WantedJobs, list_jobs

    labels = {}
    if label:
        from ci_client.library.job_options import read_labels

        labels = read_labels(label)
    wanted = WantedJobs(filters, labels, failed, limit, before)
    return list_jobs(server_choice(server, api_key), wanted, as_json)


@app.command()
@options.job_id_or_newest
@options.as_json
@options.server
@options.api_key
@exits
def status(job_id: str | None, as_json: bool, server: str | None, api_key: str | None) -> int:
    """Show the details of a job."""
    import json

    from ci_client.command.display import job_details
    from ci_client.command.queries import job

    found = job(job_id, server_choice(server, api_key))
    print(json.dumps(found, indent=2) if as_json else job_details(found), flush=True)
    return 0


@app.command()
@options.job_id
@click.option("--download", metavar="DIR", help="Download them into this directory")
@options.as_json
@options.server
@options.api_key
@exits
def artifacts(
    job_id: str, download: str | None, as_json: bool, server: str | None, api_key: str | None
) -> int:
    """List or download a job's artifacts."""
    from ci_client.command.artifacts import download_artifacts, show_artifacts

    if download is not None:
        return download_artifacts(job_id, server_choice(server, api_key), download)
    return show_artifacts(job_id, server_choice(server, api_key), as_json)


@app.command()
@options.job_id
@options.server
@options.api_key
@exits
def cancel(job_id: str, server: str | None, api_key: str | None) -> int:
    """Cancel a job."""
    from ci_client.command.queries import cancel as carry_out

    return carry_out(job_id, server_choice(server, api_key))


app.add_command(model_app, "model")
