"""The limits of jobs: what they have that ask for none, and the most they may ask for."""

from pydantic import Field

from ci_common.settings.environment import EnvironmentSettings


class JobSettings(EnvironmentSettings):
    """Defaults and ceilings."""

    default_timeout_seconds: float = Field(default=3600, gt=0, le=31_536_000)
    """Wall clock of jobs that set no timeout."""
    default_memory_mb: int | None = Field(default=None, ge=16)
    """Memory limit, in MiB, of jobs that set none; unset means no limit."""
    default_cpu_percent: int | None = Field(default=None, ge=1)
    """CPU limit, in percent of one core, of jobs that set none; unset means no limit."""
    default_pids: int = Field(default=4096, ge=16)
    """Processes and threads of jobs that set no bound."""
    default_log_mb: int = Field(default=100, ge=1)
    """Size of the log, in MiB, of jobs that set none; beyond it head and tail are kept."""
    max_timeout_seconds: float | None = Field(default=None, gt=0)
    """The longest wall clock a job may ask for; unset means a year."""
    max_memory_mb: int | None = Field(default=None, ge=16)
    """The most memory, in MiB, a job may ask for, and has that asks for none; unset: no bound."""
    max_cpu_percent: int | None = Field(default=None, ge=1)
    """The same of CPU, in percent of one core."""
    max_pids: int | None = Field(default=None, ge=16)
    """The most processes and threads a job may ask for; unset means no bound."""
    max_priority: int = Field(default=10, ge=0, le=10)
    """The highest priority a job may ask for whose user is no admin; 10 means no bound."""
    cancel_grace_seconds: float = Field(default=10, ge=0, le=3600)
    """Time between SIGTERM and SIGKILL when a job is stopped."""
