"""The options of `ci submit` that say what the job is: its decorators, by section of the help."""

from collections.abc import Callable
from typing import Any

from ci_client.command import options
from ci_client.command.programs import Number, Whole, option

_SECRETS, ENGINE = "Secrets", "Calculation engine"
"""Sections of the help."""


def _together(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """All of them, in this order of the help."""

    def decorate(command: Any) -> Any:
        for one in reversed(decorators):
            command = one(command)
        return command

    return decorate


def _multiplier(name: str, what: str) -> Callable[[Any], Any]:
    """An option of the calculation engine."""
    told = f"Multiply {what} by X (overrides the model)"
    return option(name, type=Number(min=0), metavar="X", section=ENGINE, help=told)


of_job = _together(
    option(
        "--git/--no-git",
        default=None,
        section=options.SENT,
        help="Send the commit as a small git repository (overrides [tool.ci])",
    ),
    option(
        "--image",
        metavar="IMAGE",
        section=options.JOB,
        help="Container image (overrides the job configuration)",
    ),
    option(
        "--timeout",
        metavar="TIME",
        section=options.JOB,
        help="Override the job's timeout, e.g. 30s, 10m, 1h",
    ),
    option(
        "--memory",
        metavar="SIZE",
        section=options.JOB,
        help="Memory limit, e.g. 512MB, 2GB (overrides the job configuration)",
    ),
    option(
        "--cpu",
        type=Whole(min=1),
        metavar="N",
        section=options.JOB,
        help="CPU limit, percent of one core (overrides the job configuration)",
    ),
    option(
        "--retries",
        type=Whole(0, 10),
        metavar="N",
        section=options.JOB,
        help="Restart up to N times if the container is lost; at most 10",
    ),
    options.priority,
    option(
        "--env",
        multiple=True,
        metavar="NAME=VALUE",
        section=options.JOB,
        help="Set an environment variable (not secret); may be repeated",
    ),
    option(
        "--env-file",
        multiple=True,
        metavar="FILE",
        section=options.JOB,
        help="Read environment variables from FILE, one NAME=VALUE per line; may be repeated",
    ),
    option(
        "--artifacts",
        multiple=True,
        metavar="PATTERN",
        section=options.JOB,
        help="Keep matching files (overrides the job configuration); may be repeated",
    ),
    option(
        "--label",
        multiple=True,
        metavar="KEY=VALUE",
        section=options.JOB,
        help="Label the job, to filter by in `ci list`; may be repeated",
    ),
    option(
        "--no-install",
        is_flag=True,
        section=options.JOB,
        help="Do not install the project's requirements before the command",
    ),
    option(
        "--tty/--no-tty",
        default=None,
        section=options.JOB,
        help="Run the command on a pseudo-terminal (log lines end with CR LF)",
    ),
    option(
        "--private",
        is_flag=True,
        section=options.JOB,
        help="Show the job only to you and administrators",
    ),
    option(
        "--notify",
        multiple=True,
        metavar="URL",
        section=options.JOB,
        help="Notify this webhook or mailto:ADDRESS when the job ends; may be repeated",
    ),
)
"""In place of the keys of the job's table, or beside them."""

secrets = _together(
    option(
        "--secret",
        multiple=True,
        metavar="NAME",
        section=_SECRETS,
        help="Pass this environment variable as a secret, masked in the log; may be repeated",
    ),
    option(
        "--secret-file",
        multiple=True,
        metavar="NAME=PATH",
        section=_SECRETS,
        help="Pass this file as the secret /run/secrets/NAME; may be repeated",
    ),
)

of_engine = _together(
    option(
        "--scenarios", type=Whole(min=1), metavar="N", section=ENGINE, help="Number of scenarios"
    ),
    option(
        "--seed",
        type=Whole(min=0),
        metavar="N",
        section=ENGINE,
        help="Seed for generating scenarios",
    ),
    option("--threads", type=Whole(min=1), metavar="N", section=ENGINE, help="Number of threads"),
    option("--per-policy", is_flag=True, section=ENGINE, help="Also output values per policy"),
    _multiplier("--mortality-mult", "mortality"),
    _multiplier("--lapse-mult", "lapses"),
    _multiplier("--expense-mult", "expenses"),
    option(
        "--output",
        metavar="DIR",
        section=ENGINE,
        help="Directory for the results [default: MODEL-results-ID, a new one]",
    ),
    option(
        "--verify-local",
        is_flag=True,
        section=ENGINE,
        help="Also value the model locally (this runs its hooks) and compare",
    ),
)
"""Of the calculation engine; `ci submit engine --help` shows them."""
