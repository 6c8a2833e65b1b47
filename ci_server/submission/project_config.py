"""The project's table of jobs: `[tool.ci]` in pyproject.toml, or the same in ci.toml."""

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ci_common.artifact_paths import ArtifactGlob
from ci_common.durations import parse_seconds
from ci_common.errors import InvalidConfigError
from ci_common.job import DEFAULT_ARTIFACTS, Network
from ci_common.secret import MAX_SECRETS, NAME_PATTERN
from ci_server.submission.table_problems import explain

DEFAULT_COMMAND = ("python", "-m", "pytest", "-v")

JOB_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
_IMAGE = r"^[!-~]{1,500}$"
_MOST_DOTS = 100
_STRING_OR_COMMENT = re.compile(
    r'''"""(?:[^\\]|\\.)*?(?:"{3,5}|\\?\Z)'''
    r"""|'''.*?(?:'{3,5}|\Z)"""
    r"""|"(?:[^"\\\n]|\\[^\n])*(?:"|(?=\n)|\Z|\\)"""
    r"""|'[^'\n]*(?:'|(?=\n)|\Z)"""
    r"""|\#[^\n]*""",
    re.DOTALL,
)
"""As the parser reads them. One that is not closed ends where the parser gives up: each
alternative matches wherever it begins, so that a text is read once, whatever is in it.
"""

LONGEST_SECONDS = 31_536_000
MOST_PRIORITY = 10
MOST_RETRIES = 10
_LARGEST_CPU = 1_000_000
_LARGEST_MEMORY = 1 << 30


def _seconds(value: object) -> object:
    """A number of seconds, or a text such as 30s, 10m, 1h."""
    return parse_seconds(value) if isinstance(value, str) else value


def _argv(value: object) -> object:
    """A list of arguments as it is; a text is a shell's."""
    return ["/bin/sh", "-c", value] if isinstance(value, str) and value.strip() else value


def _glob(value: str) -> str:
    ArtifactGlob(value)
    return value


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not have a NUL character in it")
    return value


def _variable_name(value: str) -> str:
    if not value or "=" in value:
        raise ValueError("must be the name of a variable")
    return value


def _given(value: object) -> object:
    """What is not to be said is left out."""
    if value is None:
        raise PydanticCustomError("null", "must be left out rather than null")
    return value


Argument = Annotated[str, AfterValidator(_without_nul)]
VariableName = Annotated[Argument, AfterValidator(_variable_name)]
SecretName = Annotated[str, Field(pattern=NAME_PATTERN)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]
Timeout = Annotated[Seconds, Field(gt=0, le=LONGEST_SECONDS)]
Given = BeforeValidator(_given)

_CONFIG = ConfigDict(extra="forbid", strict=True)
"""Strict: `true` is no number, `5.0` no integer, and `"5"` neither."""


def _runnable(value: list[str]) -> list[str]:
    if value and not value[0]:
        raise ValueError("must begin with the name of a program")
    return value


Command = Annotated[list[Argument], AfterValidator(_runnable)]


class JobTable(BaseModel):
    """One `[tool.ci.jobs.NAME]`."""

    model_config = _CONFIG

    command: Annotated[Command, BeforeValidator(_argv)] = Field(
        default_factory=lambda: list(DEFAULT_COMMAND), min_length=1
    )
    image: str | None = Field(default=None, pattern=_IMAGE)
    env: dict[VariableName, Argument] = Field(default_factory=dict)
    timeout: Timeout | None = None
    cpu: int | None = Field(default=None, ge=1, le=_LARGEST_CPU)
    memory: int | None = Field(default=None, ge=16, le=_LARGEST_MEMORY)
    pids: int | None = Field(default=None, ge=1, le=1 << 22)
    block_io: int | None = Field(default=None, ge=1 << 10, le=1 << 40)
    shm: int | None = Field(default=None, ge=1, le=_LARGEST_MEMORY)
    log: int | None = Field(default=None, ge=1, le=_LARGEST_MEMORY)
    grace: Annotated[Seconds, Field(ge=0, le=600)] | None = None
    network: Network = Field(default=Network.BRIDGE, strict=False)  # TOML has strings
    retries: int = Field(default=0, ge=0, le=MOST_RETRIES)
    artifacts: list[Annotated[str, AfterValidator(_glob)]] = Field(
        default_factory=lambda: list(DEFAULT_ARTIFACTS), max_length=100
    )
    secrets: list[SecretName] = Field(default_factory=list, max_length=MAX_SECRETS)


class ProjectTable(BaseModel):
    """The whole table."""

    model_config = _CONFIG

    jobs: dict[Annotated[str, Field(pattern=JOB_NAME)], JobTable] = Field(default_factory=dict)


def read_table(config_files: Mapping[str, bytes]) -> ProjectTable:
    """The table of ci.toml when there is one, else of pyproject.toml, else an empty one."""
    for file, place in (("ci.toml", ()), ("pyproject.toml", ("tool", "ci"))):
        if file in config_files:
            table = _toml(file, config_files[file])
            for key in place:
                table = table.get(key, {})
                if not isinstance(table, dict):
                    raise InvalidConfigError(f"{file}: [{'.'.join(place)}] is not a table")
            try:
                return ProjectTable.model_validate(table)
            except ValidationError as error:
                prefix = ".".join(place)
                raise InvalidConfigError(f"{file}: {explain(error, prefix)}") from error
    return ProjectTable()


def _toml(file: str, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode()
        _check_cost(file, text)
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        raise InvalidConfigError(f"{file} is not valid TOML: {str(error)[:500]}") from error


def _check_cost(file: str, text: str) -> None:
    """The parser's time and memory grow with the square of the depth of dotted keys."""
    keys = _STRING_OR_COMMENT.sub(_line_ends, text.replace("\r\n", "\n"))
    for number, line in enumerate(keys.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            raise InvalidConfigError(
                f"{file}, line {number}: more than {_MOST_DOTS} dots outside of strings"
            )


def _line_ends(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")
