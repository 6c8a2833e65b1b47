"""`ci submit`: its options and their help. Everything heavy is imported when it is used."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import click
from typing_extensions import override

from ci_client.command import options
from ci_client.command.color import ColorChoice
from ci_client.command.options import server_choice
from ci_client.command.programs import (
    HELP,
    Command,
    Number,
    OptionalValue,
    Whole,
    argument,
    exits,
)
from ci_client.command.run_command import CARRY_OUT

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
@click.option(
    "--detach", "--async", "detach", is_flag=True, help="Print the job's id and return at once"
)
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
@click.option(
    "--download",
    cls=OptionalValue,
    metavar="[=DIR]",
    help="At the job's end download its artifacts [default: PROJECT-artifacts-ID, a new directory]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Output the job's events as JSON, one per line"
)
@click.option(
    "--secret",
    multiple=True,
    metavar="NAME",
    help="Pass this environment variable as a secret, masked in the log; may be repeated",
)
@click.option(
    "--secret-file",
    multiple=True,
    metavar="NAME=PATH",
    help="Pass this file as the secret /run/secrets/NAME; may be repeated",
)
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
    code: int = context.meta.get(CARRY_OUT, carry_out)(
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
    return code
