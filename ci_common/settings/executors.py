"""What all executors have in common. Each has settings of its own beside its code, see
`ci_controller.executors.registry`.
"""

import json
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from ci_common.settings.environment import EnvironmentSettings


def _variables(value: object) -> object:
    """A JSON object of strings."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value) if value.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(
            'must be a JSON object of strings, such as {"UV_DEFAULT_INDEX": "https://…/simple"}'
        )
    return found


def _variable_names(value: dict[str, str]) -> dict[str, str]:
    if any(not (name.isascii() and name.isidentifier()) for name in value):
        raise ValueError("must have variable names as keys: letters, digits and _ only")
    if any("\0" in text for text in value.values()):
        raise ValueError("must not contain a NUL character")
    return value


SetupVariables = Annotated[
    dict[str, str], NoDecode, BeforeValidator(_variables), AfterValidator(_variable_names)
]


class ExecutorSettings(EnvironmentSettings):
    """Which executor runs jobs, and settings that all executors have."""

    executor: str = "docker"
    """Where commands run: `docker`, or `process` (not isolated)."""
    max_work_mb: int | None = Field(default=None, ge=16)
    """Disk space of a job's container, in MiB, if the engine's storage driver can limit it."""
    setup_timeout_seconds: float = Field(default=900, gt=0)
    """Timeout for installing a project's requirements."""
    setup_env: SetupVariables = Field(default={})
    """Environment of every installation, as a JSON object: a package index, say, or a proxy."""
