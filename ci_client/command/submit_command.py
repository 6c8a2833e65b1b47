"""`ci submit`: its options and their help. Everything heavy is imported when it is used."""

import shlex
from collections.abc import Sequence
from typing import Literal

import click
from typing_extensions import override

from ci_client.command import options, submit_options
from ci_client.command.color import ColorChoice
from ci_client.command.completers import IN_COMMAND, complete_job_names
from ci_client.command.help_page import Example, Option
from ci_client.command.options import server_choice
from ci_client.command.programs import (
    AFTER_OPTIONAL,
    HELP,
    Command,
    argument,
    exits,
    option,
)

CARRY_OUT = "ci_client.carry_out"
"""The key of a context's `meta` with what is to be done with a submission, in place of sending it
to the server.
"""
_COMMAND, _IS_ENGINE = "ci_client.command", "ci_client.engine"
_LINE = "ci_client.line"
_ENGINE_EXAMPLES = (
    ("engine --path examples/term_life", "value a model"),
    ("engine --scenarios 1000 --seed 7", "with other scenarios"),
    ("engine --lapse-mult 1.1 --output up", "stress it"),
)
"""After the name of the command."""


class SubmitCommand(Command):
    """A command with `-- COMMAND…` at its end, which is not to be taken for NAME."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what follows the first `--`."""
        own, dashes, command = _split(args)
        if ctx.resilient_parsing:  # for the shell, which completes it
            ctx.meta[IN_COMMAND] = dashes
        elif dashes and not command:
            ctx.fail("There is no command after --.")
        ctx.meta[_LINE], ctx.meta[_COMMAND] = ctx.command_path, command or None
        ctx.meta[_IS_ENGINE] = self._names_engine(ctx, own)
        try:
            return super().parse_args(ctx, own)
        except click.UsageError as error:
            # Of this class are unknown options and superfluous arguments alone.
            if type(error) is not click.UsageError or dashes:
                raise
            told = f"{error.message}{self._without_dashes(ctx, own)}"
            raise click.UsageError(told, ctx) from None

    def _without_dashes(self, ctx: click.Context, args: list[str]) -> str:
        """What to say of a command without `--` before it; nothing where there is none."""
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        try:
            values, rest, _ = parser.parse_args(self.with_equals_signs(args))
        except click.UsageError:  # of an option before NAME
            return ""
        name = values.get("name")
        if not name or not rest or name == "engine" or _is_job(name, values.get("path")):
            return ""
        own = args[: len(args) - len(rest) - 1]
        shown = [] if any(word.startswith("--api-key") for word in own) else own
        command = shlex.join([*ctx.command_path.split(), *shown, "--", name, *rest])
        return f". To run a command: {command}"

    def _names_engine(self, ctx: click.Context, args: list[str]) -> bool:
        """Whether NAME is the engine. Click shows the help before it has looked at NAME."""
        if "engine" not in args:
            return False
        values, _, _ = self.make_parser(ctx).parse_args(list(args))
        return values.get("name") == "engine"

    @override
    def shown_options(self, ctx: click.Context) -> list[click.Parameter]:
        """Those of the engine only where it is the job, and then before the others."""
        engine: list[click.Parameter] = []
        others: list[click.Parameter] = []
        for one in super().shown_options(ctx):
            of_engine = isinstance(one, Option) and one.section == submit_options.ENGINE
            (engine if of_engine else others).append(one)
        return [*engine, *others] if ctx.meta.get(_IS_ENGINE) else others

    @override
    def shown_examples(self, ctx: click.Context) -> Sequence[Example]:
        """Those of the engine where it is the job."""
        if not ctx.meta.get(_IS_ENGINE):
            return super().shown_examples(ctx)
        return [(f"{ctx.command_path} {rest}", about) for rest, about in _ENGINE_EXAMPLES]

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the part that the parser does not know."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in args:
        return args, False, []
    at = args.index("--")
    return args[:at], True, args[at + 1 :]


def _is_job(name: str, path: str | None) -> bool:
    from ci_client.errors import ClientError
    from ci_client.project_config import known_jobs

    try:
        return name in (known_jobs(path or ".") or ())
    except ClientError:
        return False


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


@click.command(
    "submit",
    cls=SubmitCommand,
    context_settings=HELP,
    short_help="Run a directory's tests, or any command, on the server.",
    examples=(
        ("ci submit --path my-project", "run the job test"),
        ("ci submit lint --env LEVEL=2", "run the job lint, with a variable"),
        ("ci submit --download -- make check", "run a command, download its artifacts"),
        ("ci submit --async --label team=qa", "print the id and return at once"),
    ),
)
@argument(
    "name",
    "Job from the project's [tool.ci.jobs] table, or engine [default: test]",
    required=False,
    metavar="[NAME]",
    shell_complete=complete_job_names,
)
@option("--path", default=".", metavar="DIR", help="The project's directory [default: .]")
@options.detach
@options.detach_on_signal
@options.download
@options.events_as_json
@option(
    "--color",
    type=click.Choice(list(map(str, ColorChoice))),
    default=str(ColorChoice.AUTO),
    metavar="WHEN",
    help="Tell programs to use colors: always, never, or auto: if stdout is a terminal [default: "
    "auto]",
)
@options.include
@options.exclude
@submit_options.of_job
@submit_options.secrets
@options.server
@options.api_key
@submit_options.of_engine
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
    notify: Sequence[str],
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
    """Send a directory to the server, run its tests there, and follow the log.

    The job `engine` values a model (a directory with model.toml or livecalc.config.json): see
    `ci submit engine --help`.

    The log goes to stdout, everything else to stderr. Ctrl-C and SIGTERM cancel the job and wait
    until it has ended.

    Exit codes: 0 passed, 1 failed, 2 usage, 3 infrastructure failure, 4 cancelled, 5 timed out,
    130 Ctrl-C.
    """
    from ci_client.command.color import wants_color
    from ci_client.command.job_name import check_name
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
    if name is not None and model is None:
        follows = context.meta[AFTER_OPTIONAL] == name
        line = context.meta[_LINE]
        check_name(name, path, line, has_command=bool(command), follows_download=follows)
    if model is not None:
        if detach and (output is not None or verify_local):
            raise UsageError(
                "--output and --verify-local wait for the job to end, so they cannot be combined "
                "with --detach."
            )
        if tty:
            raise UsageError(
                "--tty cannot be used with the job engine, whose progress is read from its log."
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
        notify or None,
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
            ColorChoice(color),
        )
    )
    return code
