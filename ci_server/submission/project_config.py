"""The project's table of jobs: `[tool.ci]` in pyproject.toml, or the same in ci.toml."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ci_common.artifact_paths import ArtifactGlob
from ci_common.bounded_toml import CostlyTomlError, read_toml
from ci_common.durations import parse_seconds
from ci_common.errors import InvalidConfigError
from ci_common.job import DEFAULT_ARTIFACTS, Network
from ci_common.secret import MAX_SECRETS, NAME_PATTERN
from ci_server.submission.table_problems import explain

DEFAULT_COMMAND = ("python", "-m", "pytest", "-v")

JOB_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
_IMAGE = r"^[!-~]{1,500}$"
_MOST_INSTALL_LINES = 100
_MOST_PATTERNS = 1000
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


def requirements_line_problem(value: str) -> str | None:
    """Why a text is no line of a requirements file."""
    if not value.strip() or not value.isprintable():
        return "must be one line of a requirements file, such as '-e .[test]'"
    return None


def _requirements_line(value: str) -> str:
    if problem := requirements_line_problem(value):
        raise ValueError(problem)
    return value


def _no_lines(value: object) -> object:
    return [] if value is False else value


Argument = Annotated[str, AfterValidator(_without_nul)]
VariableName = Annotated[Argument, AfterValidator(_variable_name)]
SecretName = Annotated[str, Field(pattern=NAME_PATTERN)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]
Timeout = Annotated[Seconds, Field(gt=0, le=LONGEST_SECONDS)]
Given = BeforeValidator(_given)
Install = Annotated[
    list[Annotated[str, AfterValidator(_requirements_line)]],
    BeforeValidator(_no_lines),
    Field(max_length=_MOST_INSTALL_LINES),
]
"""Lines of a requirements file, or `false`: nothing."""

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
    install: Install | None = None
    tty: bool = False
    private: bool = False


class ProjectTable(BaseModel):
    """The whole table. What clients follow when they pack the project is only checked here."""

    model_config = _CONFIG

    exclude: list[str] = Field(default_factory=list, max_length=_MOST_PATTERNS)
    git: bool = False
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
        return read_toml(content)
    except CostlyTomlError as error:
        raise InvalidConfigError(f"{file}, {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidConfigError(f"{file} is not valid TOML: {str(error)[:500]}") from error
