"""What all executors have in common. Each has settings of its own beside its code, see
`ci_controller.executors.registry`.
"""

from pydantic import Field

from ci_common.settings.environment import EnvironmentSettings


class ExecutorSettings(EnvironmentSettings):
    """Which executor there is, and its bounds."""

    executor: str = "docker"
    """Where commands run: `docker`, or `process` (not isolated)."""
    max_work_mb: int | None = Field(default=None, ge=16)
    """Disk a job's container may fill, in MiB, where the engine's storage driver can bound it."""
    setup_timeout_seconds: float = Field(default=900, gt=0)
    """Longest time the installation of a project's requirements may take."""
