"""How runs of the runs API are executed."""

import shlex
from typing import Annotated

from pydantic import AfterValidator, Field

from ci_common.settings.command_line import checked_command
from ci_common.settings.environment import EnvironmentSettings


class RunSettings(EnvironmentSettings):
    """Image, command and limits of runs. The ceilings of jobs apply to them, too."""

    run_image: str = Field(default="ci-runner-haystack:latest", pattern=r"^[!-~]{1,500}$")
    """Container image."""
    run_command: Annotated[str, AfterValidator(checked_command)] = "python -m haystack"
    """Command, split into words as a shell would; it is not run by a shell."""
    run_cpu_percent: int = Field(default=400, ge=1, le=1_000_000)
    """CPU limit in percent of one core."""
    run_memory_mb: int = Field(default=16_384, ge=16)
    """Memory limit in MiB."""
    run_timeout_seconds: float = Field(default=3600, gt=0, le=31_536_000)
    """Timeout."""

    @property
    def run_argv(self) -> tuple[str, ...]:
        """`run_command`, word by word."""
        return tuple(shlex.split(self.run_command))
