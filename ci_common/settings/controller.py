"""The controller's concurrency limits and retention."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from ci_common.settings.environment import EnvironmentSettings

_CENTURY_DAYS = 36_525.0
_CENTURY_HOURS = _CENTURY_DAYS * 24
"""Longer ages are before the first year that there is."""


def _or_none(value: object) -> object:
    """The word `none`, which an environment variable cannot say otherwise."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


OptionalHours = Annotated[
    Annotated[float, Field(gt=0, le=_CENTURY_HOURS)] | None, BeforeValidator(_or_none)
]


class ControllerSettings(EnvironmentSettings):
    """Pace, artifacts and retention."""

    reconcile_seconds: float = Field(default=2.0, gt=0, le=5)
    """Longest pause between reconcile ticks; a submission or cancel starts one at once."""
    max_concurrent_jobs: int = Field(default=4, ge=1)
    """Jobs that may be initializing or running at once."""
    max_jobs_per_tenant: int | None = Field(default=None, ge=1)
    """The same per tenant; unset means no separate limit."""
    max_artifacts_mb: int = Field(default=1024, ge=0)
    """Maximum size of all artifacts of a job, in MiB; the rest is left out and reported."""
    max_artifacts: int = Field(default=10_000, ge=0)
    """Maximum number of artifacts of a job."""
    max_collections: int = Field(default=4, ge=1)
    """Jobs whose artifacts are collected at once, half of them of one tenant; they hold no slot."""
    retention_days: float | None = Field(default=None, gt=0, le=_CENTURY_DAYS)
    """Finished jobs older than this are deleted, with logs and artifacts; unset keeps them."""
    retention_jobs: int | None = Field(default=None, ge=0)
    """Maximum number of finished jobs to keep, the newest; unset keeps all."""
    model_job_hours: OptionalHours = 24.0
    """Finished jobs of the model-job API are deleted this many hours after their end; `none` keeps
    them as long as the others.
    """
    artifact_retention_days: float | None = Field(default=None, gt=0, le=_CENTURY_DAYS)
    """Artifacts older than this are deleted although their job is kept."""
    max_disk_mb: int | None = Field(default=None, ge=1)
    """Disk budget, in MiB, of logs and artifacts; the oldest finished jobs go first."""
    keep_packages_days: float = Field(default=7.0, ge=0, le=_CENTURY_DAYS)
    """Days for which finished jobs' packages are kept, to run them again; 0 keeps none."""
    keep_packages_mb: int = Field(default=1024, ge=0)
    """Maximum size of all kept packages, in MiB; the oldest are deleted first."""
    log_compress_seconds: float = Field(default=60, ge=0)
    """Delay before a finished job's log is compressed."""

    @property
    def keeps_packages(self) -> bool:
        """Whether any package stays after its job's end."""
        return self.keep_packages_days > 0 and self.keep_packages_mb > 0
