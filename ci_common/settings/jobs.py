"""Limits of jobs: defaults and ceilings."""

from pydantic import Field

from ci_common.settings.environment import EnvironmentSettings


class JobSettings(EnvironmentSettings):
    """Defaults and ceilings."""

    default_timeout_seconds: float = Field(default=3600, gt=0, le=31_536_000)
    """Timeout of jobs that set none."""
    default_memory_mb: int | None = Field(default=None, ge=16)
    """Memory limit, in MiB, of jobs that set none; unset means no limit."""
    default_cpu_percent: int | None = Field(default=None, ge=1)
    """CPU limit, in percent of one core, of jobs that set none; unset means no limit."""
    default_pids: int = Field(default=4096, ge=16)
    """Limit of processes and threads of jobs that set none."""
    default_log_mb: int = Field(default=100, ge=1)
    """Maximum log size, in MiB, of jobs that set none; beyond it, head and tail are kept."""
    max_timeout_seconds: float | None = Field(default=None, gt=0)
    """Ceiling of the timeout; unset means a year."""
    max_memory_mb: int | None = Field(default=None, ge=16)
    """Ceiling of memory, in MiB, which also limits jobs that set none; unset: no limit."""
    max_cpu_percent: int | None = Field(default=None, ge=1)
    """The same for CPU, in percent of one core."""
    max_pids: int | None = Field(default=None, ge=16)
    """Ceiling of processes and threads; unset means no limit."""
    max_priority: int = Field(default=10, ge=0, le=10)
    """Highest priority of jobs whose user is not an admin; 10 means no ceiling."""
    cancel_grace_seconds: float = Field(default=10, ge=0, le=3600)
    """Time between SIGTERM and SIGKILL when a job is stopped."""
