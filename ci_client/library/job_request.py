"""What is asked of the server along with a project."""

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ci_client.errors import UsageError
from ci_client.library.job_options import (
    check_artifacts,
    check_cpu,
    check_image,
    check_memory,
    check_variables,
)
from ci_client.library.shell_line import pasted_command
from ci_common.durations import EXAMPLES_OF_SECONDS, parse_seconds
from ci_common.labels import labels_problem
from ci_common.notify_targets import targets_problem
from ci_common.secret import Secret

_JOB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
OVERRIDES = ("image", "env", "artifacts", "cpu", "memory", "labels", "notify")
"""Fields that older servers do not know."""

FIELDS = (
    *("job", "command", "priority", "retries", "timeout", "install", "git", "tty", "color"),
    *OVERRIDES,
    "private",
)
"""All that may be in the part `spec`."""

_HIGHEST = 10
"""Of priorities and retries."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is left out is as the project's table says, or else as the server does.

    Raises UsageError for what no server would accept.
    """

    job: str | None = None
    """A job of the project's table."""
    command: Sequence[str] | None = None
    """In place of the job's own."""
    priority: int | None = None
    """0 (lowest) to 10 (highest); orders the jobs of the tenant. The server may set a ceiling."""
    retries: int | None = None
    """How often a job whose container was lost is started again."""
    timeout: str | float | None = None
    """Wall clock: seconds, or a text such as 30s, 10m, 1h."""
    secrets: Sequence[Secret] = field(default=(), repr=False)
    """Given to the job, and to nobody else."""
    install: Literal[False] | Sequence[str] | None = None
    """Lines of a requirements file to install instead of what the project's files say; `False`
    installs nothing.
    """
    tty: bool | None = None
    """Whether the command is on a pseudo-terminal."""
    color: bool | None = None
    """Whether programs are told to write colours. A server that knows nothing of it is not asked.
    """
    image: str | None = None
    """The container image."""
    env: Mapping[str, str] | None = None
    """Variables in addition to the table's, and in place of those of the same name."""
    artifacts: Sequence[str] | None = None
    """Paths or patterns of the files to keep."""
    cpu: int | None = None
    """Percent of one core."""
    memory: int | str | None = None
    """MiB, or a text such as 512MB."""
    labels: Mapping[str, str] | None = None
    """What the job can be found by; see `ci_common.labels`."""
    private: bool | None = None
    """Whether only the submitter and admins see the job."""
    notify: Sequence[str] | None = field(default=None, repr=False)
    """URLs, or `mailto:` and an e-mail address, that are told of the job's end."""

    def __post_init__(self) -> None:
        if self.job is not None:
            _check_text("job", self.job)
            _check_job_name(self.job)
        if isinstance(self.command, str | bytes):
            raise _wrong("command", "a list of strings, such as ['pytest', '-q']", self.command)
        for argument in self.command or ():
            _check_text("command", argument)
        _check_integer("priority", self.priority)
        _check_integer("retries", self.retries)
        _check_timeout(self.timeout)
        _check_install(self.install)
        _check_flag("tty", self.tty)
        _check_flag("color", self.color)
        _check_labels(self.labels)
        _check_rest(self)
        _check_flag("private", self.private)
        _check_notify(self.notify)

    def to_spec(self) -> dict[str, Any]:
        """The form's part `spec`."""
        command = list(self.command) if self.command else None
        spec: dict[str, Any] = {"job": self.job, "command": command}
        for name in ("priority", "retries", "timeout", "tty", "color", "private"):
            if (value := getattr(self, name)) is not None:
                spec[name] = value
        for name in OVERRIDES:
            if (value := getattr(self, name)) is not None:
                spec[name] = dict(value) if isinstance(value, Mapping) else value
        if self.install is not None:
            spec["install"] = self.install if self.install is False else list(self.install)
        return spec

    def to_secrets(self) -> dict[str, Any]:
        """The form's part `secrets`."""
        return encoded_secrets(self.secrets)


def encoded_secrets(secrets: Iterable[Secret]) -> dict[str, Any]:
    """Secrets by name, as servers read them."""
    return {
        secret.name: {
            "value": base64.b64encode(secret.value).decode(),
            "environment": secret.in_environment,
        }
        for secret in secrets
    }


def _check_rest(request: JobRequest) -> None:
    if request.image is not None:
        check_image(request.image)
    if request.env is not None:
        if not isinstance(request.env, Mapping):
            raise _wrong(
                "env", "a mapping of names to strings, such as {'LEVEL': '2'}", request.env
            )
        check_variables(request.env)
    if request.artifacts is not None:
        check_artifacts(request.artifacts)
    if request.cpu is not None:
        check_cpu(request.cpu)
    if request.memory is not None:
        check_memory(request.memory)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise _wrong(name, "made of strings", value)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _wrong(name, "valid UTF-8", value)


def is_job_name(name: str) -> bool:
    """Whether a job of a table may be called so."""
    return _JOB_NAME.fullmatch(name) is not None


def _check_job_name(name: str) -> None:
    if not is_job_name(name):
        problem = "has at most 64 letters, digits, and _ . -"
        advice = f"; did you mean: ci submit -- {pasted_command(name)}" if " " in name else ""
        raise UsageError(f"job: the name of a job {problem}; this is {name!r:.60}{advice}")


def _check_integer(name: str, value: object) -> None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_integer and 0 <= value <= _HIGHEST):  # type: ignore[operator]
        raise _wrong(name, f"an integer from 0 to {_HIGHEST}", value)


def _check_flag(name: str, value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "True or False", value)


def _check_install(value: object) -> None:
    if value is None or value is False:
        return
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _wrong("install", "False, or a list such as ['-e .[test]']", value)
    for line in value:
        _check_text("install", line)


def _check_labels(labels: Mapping[str, str] | None) -> None:
    if labels is not None and not isinstance(labels, Mapping):
        raise _wrong("labels", "a mapping of strings, such as {'team': 'pricing'}", labels)
    for name, value in (labels or {}).items():
        _check_text("labels", name)
        _check_text("labels", value)
    if problem := labels_problem(labels or {}):
        raise UsageError(f"labels: {problem}")


def _check_notify(targets: object) -> None:
    if targets is None:
        return
    if isinstance(targets, str | bytes) or not isinstance(targets, Sequence):
        raise UsageError("notify must be a list such as ['https://example.com/hook']")
    for target in targets:
        if not isinstance(target, str):
            raise UsageError("notify must be a list of strings")
    if problem := targets_problem(targets):
        raise UsageError(f"notify: {problem}")


def _check_timeout(value: object) -> None:
    try:
        seconds = parse_seconds(value) if isinstance(value, str) else value
    except ValueError as error:
        raise UsageError(f"timeout: {error}") from None
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 < seconds < math.inf):  # type: ignore[operator]
        raise _wrong("timeout", f"{EXAMPLES_OF_SECONDS}, above 0", value)


def _wrong(name: str, what: str, value: object) -> UsageError:
    return UsageError(f"{name} must be {what}; this is {value!r:.60}")
