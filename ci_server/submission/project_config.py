"""Job configuration: `[tool.ci]` in pyproject.toml, or the same in ci.toml."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ci_common.artifact_paths import ArtifactGlob
from ci_common.bounded_toml import CostlyTomlError, read_toml
from ci_common.durations import parse_seconds
from ci_common.errors import InvalidConfigError
from ci_common.job import DEFAULT_ARTIFACTS, Network
from ci_common.labels import labels_problem
from ci_common.notify_targets import targets_problem
from ci_common.secret import MAX_SECRETS, NAME_PATTERN
from ci_common.sizes import parse_mebibytes
from ci_common.variable_names import WHAT_A_NAME_IS, is_variable_name
from ci_server.submission.table_problems import explain

OWN_FILE, PYPROJECT = "ci.toml", "pyproject.toml"
PLACES: dict[str, tuple[str, ...]] = {OWN_FILE: (), PYPROJECT: ("tool", "ci")}
"""The files that may have the table, and where in them it is."""

DEFAULT_COMMAND = ("python", "-m", "pytest", "-v")

JOB_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
_IMAGE = r"^[!-~]{1,500}$"
_MOST_INSTALL_LINES = 100
_MOST_PATTERNS = 1000
_LONGEST_ADDRESS = 2000
LONGEST_SECONDS = 31_536_000
MOST_PRIORITY = 10
MOST_RETRIES = 10
_LARGEST_CPU = 1_000_000
_LARGEST_MEMORY = 1 << 30


def _seconds(value: object) -> object:
    """A number of seconds, or a text such as 30s, 10m, 1h."""
    return parse_seconds(value) if isinstance(value, str) else value


def _mebibytes(value: object) -> object:
    """A number of MiB, or a text such as 512MB."""
    return parse_mebibytes(value) if isinstance(value, str) else value


def _argv(value: object) -> object:
    """A list of arguments as it is; a text is a shell's."""
    return ["/bin/sh", "-c", value] if isinstance(value, str) and value.strip() else value


def _glob(value: str) -> str:
    ArtifactGlob(value)
    return value


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def _variable_name(value: str) -> str:
    if not is_variable_name(value):
        raise ValueError(f"must be the name of a variable: {WHAT_A_NAME_IS}")
    return value


def _given(value: object) -> object:
    """What is not to be said is left out."""
    if value is None:
        raise PydanticCustomError("null", "must be omitted, not null")
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
Memory = Annotated[int, BeforeValidator(_mebibytes), Field(ge=16, le=_LARGEST_MEMORY)]
"""In MiB."""
_Size = Annotated[int, BeforeValidator(_mebibytes), Field(ge=1, le=_LARGEST_MEMORY)]
Cpu = Annotated[int, Field(ge=1, le=_LARGEST_CPU)]
"""In percent of one core."""
Image = Annotated[str, Field(pattern=_IMAGE)]
Environment = dict[VariableName, Argument]
Artifacts = Annotated[list[Annotated[str, AfterValidator(_glob)]], Field(max_length=100)]
Given = BeforeValidator(_given)
Install = Annotated[
    list[Annotated[str, AfterValidator(_requirements_line)]],
    BeforeValidator(_no_lines),
    Field(max_length=_MOST_INSTALL_LINES),
]
"""Lines of a requirements file, or `false`: nothing."""


def _labels(value: dict[str, str]) -> dict[str, str]:
    if problem := labels_problem(value):
        raise ValueError(problem)
    return value


Labels = Annotated[dict[str, str], AfterValidator(_labels)]


def _targets(value: list[str]) -> list[str]:
    if problem := targets_problem(value):
        raise ValueError(problem)
    return value


Notify = Annotated[list[str], AfterValidator(_targets)]

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
    image: Image | None = None
    env: Environment = Field(default_factory=dict)
    timeout: Timeout | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    pids: int | None = Field(default=None, ge=1, le=1 << 22)
    block_io: int | None = Field(default=None, ge=1 << 10, le=1 << 40)
    shm: _Size | None = None
    log: _Size | None = None
    grace: Annotated[Seconds, Field(ge=0, le=600)] | None = None
    network: Network = Field(default=Network.BRIDGE, strict=False)  # TOML has strings
    retries: int = Field(default=0, ge=0, le=MOST_RETRIES)
    artifacts: Artifacts = Field(default_factory=lambda: list(DEFAULT_ARTIFACTS))
    secrets: list[SecretName] = Field(default_factory=list, max_length=MAX_SECRETS)
    install: Install | None = None
    tty: bool = False
    labels: Labels = Field(default_factory=dict)
    private: bool = False
    notify: Notify = Field(default_factory=list)


class ProjectTable(BaseModel):
    """The whole table. What only clients follow, the server and what is packed, is checked here."""

    model_config = _CONFIG

    server: str | None = Field(default=None, min_length=1, max_length=_LONGEST_ADDRESS)
    exclude: list[str] = Field(default_factory=list, max_length=_MOST_PATTERNS)
    git: bool = False
    jobs: dict[Annotated[str, Field(pattern=JOB_NAME)], JobTable] = Field(default_factory=dict)


def table_file(config_files: Mapping[str, bytes]) -> str:
    """The name of the file that has the project's table, or is to have it."""
    return OWN_FILE if OWN_FILE in config_files else PYPROJECT


def name_of_table(file: str) -> str:
    """How the table of a job begins in this file."""
    return ".".join((*PLACES[file], "jobs.NAME"))


def read_table(config_files: Mapping[str, bytes]) -> ProjectTable:
    """The table of ci.toml or of pyproject.toml; an empty one when neither has one.

    Raises InvalidConfigError for a table that is wrong, and when both have one.
    """
    file = table_file(config_files)
    if file not in config_files:
        return ProjectTable()
    table = _table(file, config_files[file])
    if file == OWN_FILE and _has_table(config_files.get(PYPROJECT)):
        raise InvalidConfigError(
            f"{OWN_FILE} and {PYPROJECT} both configure jobs, so it is ambiguous which to use: "
            f"delete {OWN_FILE}, or [tool.ci] in {PYPROJECT}"
        )
    try:
        return ProjectTable.model_validate(table)
    except ValidationError as error:
        prefix = ".".join(PLACES[file])
        raise InvalidConfigError(f"{file}: {explain(error, prefix)}") from error


def _has_table(pyproject: bytes | None) -> bool:
    """Whether there is one at all; what is wrong with it does not matter here."""
    try:
        return pyproject is not None and bool(_table(PYPROJECT, pyproject))
    except InvalidConfigError:
        return False


def _table(file: str, content: bytes) -> dict[str, Any]:
    table = _toml(file, content)
    for key in PLACES[file]:
        table = table.get(key, {})
        if not isinstance(table, dict):
            raise InvalidConfigError(f"{file}: [{'.'.join(PLACES[file])}] is not a table")
    return table


def _toml(file: str, content: bytes) -> dict[str, Any]:
    try:
        return read_toml(content)
    except CostlyTomlError as error:
        raise InvalidConfigError(f"{file}, {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidConfigError(f"{file} is not valid TOML: {str(error)[:500]}") from error
