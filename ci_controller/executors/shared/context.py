"""What every executor is told of the instance whose jobs it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ci_common.job import ResourceLimits


@dataclass(frozen=True, slots=True)
class ExecutorContext:
    """Settings that are not an executor's own."""

    instance_id: str
    """By which an executor knows its workloads: others may be at work beside it."""
    data_path: Path
    """The instance's data directory, which executors of this machine may keep files in."""
    setup_timeout_seconds: float = 900.0
    """Longest time the installation of a project's requirements may take."""
    work_mb: int | None = None
    """What a job may write to disk, in MiB; `check` tells when that cannot be enforced."""
    setup_limits: ResourceLimits = field(default_factory=ResourceLimits)
    """Of the installation, with whichever requirements; not the job's own."""
    setup_env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every installation, such as an index or a proxy."""
