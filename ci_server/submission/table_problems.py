"""What is wrong with a table, of jobs by default, in words: the key, its value, and what is
allowed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ci_common.durations import EXAMPLES_OF_SECONDS
from ci_common.errors import place_of
from ci_common.labels import MOST_LABELS, OF_A_LABEL
from ci_common.notify_targets import MOST_TARGETS
from ci_common.suggestions import closest

_MOST_PROBLEMS = 5
_LONGEST_VALUE = 60

OR_A_TEXT = "or a string such as '512MB' or '2GB'"
INSTALL = "false, or a list of lines as in requirements.txt, such as '-e .[test]'"
FLAG = "true or false"
LABELS = f"a table of at most {MOST_LABELS} labels: {OF_A_LABEL}"
NOTIFY = f"a list of at most {MOST_TARGETS} URLs, or e-mail addresses as mailto:ann@example.com"
RETRIES = "an integer from 0 to 10"
TIMEOUT = f"{EXAMPLES_OF_SECONDS}, above 0 and at most a year"
OF_A_JOB = {
    "command": "a string (run by /bin/sh) or a list of strings, not empty",
    "image": "the name of an image, 1 to 500 ASCII characters without spaces",
    "env": "a table of strings",
    "timeout": TIMEOUT,
    "cpu": "an integer from 1 to 1000000 (percent of one core)",
    "memory": f"an integer from 16 to 1073741824 (MiB), {OR_A_TEXT}",
    "pids": "an integer from 1 to 4194304",
    "block_io": "an integer from 1024 to 1099511627776 (bytes per second)",
    "shm": f"an integer from 1 to 1073741824 (MiB), {OR_A_TEXT}",
    "log": f"an integer from 1 to 1073741824 (MiB), {OR_A_TEXT}",
    "grace": f"{EXAMPLES_OF_SECONDS}, at most 600",
    "network": "'bridge' or 'none'",
    "retries": RETRIES,
    "secrets": "a list of at most 50 names of secrets, such as PYPI_TOKEN",
    "artifacts": "a list of at most 100 paths or patterns within the project",
    "install": INSTALL,
    "tty": FLAG,
    "labels": LABELS,
    "private": FLAG,
    "notify": NOTIFY,
}
_JOBS = "<jobs>"
"""Stands for the table of jobs, whose name depends on the file."""
_TABLE = {
    "server": "the address of a server, such as 'https://ci.example.com'",
    "exclude": "a list of at most 1000 patterns as in .gitignore, such as 'data/'",
    "git": "true or false",
    "jobs": f"tables [{_JOBS}.NAME]; a NAME has at most 64 letters, digits, and _ . -",
}


def explain(error: ValidationError, prefix: str = "", allowed: Mapping[str, str] = _TABLE) -> str:
    """The first problems of a table; `prefix` is its name. `allowed` tells by name what the values
    of another one may be.
    """
    problems = [_problem(problem, prefix, allowed) for problem in error.errors()]
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"and {len(problems) - _MOST_PROBLEMS} more"]
    return "; ".join(problems)


def _problem(problem: Mapping[str, Any], prefix: str, top: Mapping[str, str]) -> str:
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    where = ".".join(filter(None, [prefix, place_of(path)]))
    message = _message(problem, path, top, prefix)
    return f"{where}: {message}" if where else message


def _message(
    problem: Mapping[str, Any], path: Sequence[str], top: Mapping[str, str], prefix: str
) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = OF_A_JOB if len(path) > 1 else top
        meant = closest(path[-1], known)
        advice = f"; did you mean {meant}?" if meant else ""
        return f"is not a known key; known are: {', '.join(known)}{advice}"
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    allowed = _allowed(path, top)
    if allowed is None:
        return str(problem["msg"])
    allowed = allowed.replace(_JOBS, ".".join(filter(None, [prefix, "jobs"])))
    return f"{_value(problem['input'], path)} is not allowed; it must be {allowed}"


def _allowed(path: Sequence[str], top: Mapping[str, str]) -> str | None:
    """What the value at a path may be; of a list or a table, what the whole may be."""
    if not path:
        return None
    is_of_a_job = top is _TABLE and len(path) > 2
    return OF_A_JOB.get(path[2]) if is_of_a_job else top.get(path[0])


def _value(value: object, path: Sequence[str]) -> str:
    """As it was written, or nearly so; never what may be a secret."""
    if path[:1] == ["env"] or path[2:3] in (["env"], ["secrets"]):
        return "this value"
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except ValueError:  # a hexadecimal number with thousands of digits
        return "this value"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
