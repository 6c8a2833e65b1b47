"""What ticks and runs work with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ci_common.completion import to_completion
from ci_common.errors import StorageUnavailableError
from ci_common.ports.logs import LogAppender, LogWriter
from ci_common.ports.packages import Packages
from ci_common.ports.rows import JobTransitions
from ci_common.ports.secrets import JobSecrets
from ci_common.ports.workloads import Executor
from ci_controller.running.artifacts import ArtifactCollector
from ci_controller.running.launch_steps import LaunchSteps
from ci_controller.running.progress_reports import ProgressReports
from ci_controller.running.resource_sampler import ResourceSampler
from ci_controller.telemetry.job_traces import NO_TRACES, JobTraces


@dataclass(frozen=True, slots=True)
class RunContext:
    """The stores and the executor of one controller."""

    transitions: JobTransitions
    executor: Executor
    logs: LogWriter
    packages: Packages
    artifacts: ArtifactCollector
    now: Callable[[], datetime]
    secrets: JobSecrets
    progress: ProgressReports
    steps: LaunchSteps
    resources: ResourceSampler
    check_files: Callable[[], None] = lambda: None
    """Raises StorageUnavailableError when the stores above cannot be used now."""
    keeps_packages: bool = False
    """Whether packages stay after their jobs' ends, so that the jobs can be run again."""
    traces: JobTraces = NO_TRACES


def has_files(context: RunContext) -> bool:
    """Whether the data directory can be used; if not, that has been logged."""
    try:
        context.check_files()
    except StorageUnavailableError:
        return False
    return True


async def open_log(context: RunContext, job_id: str, epoch: int) -> LogAppender:
    """Call `LogWriter.open` on a thread. If the caller is cancelled, the log is closed again:
    another run may be about to open it.
    """
    opening = asyncio.to_thread(context.logs.open, job_id, epoch)
    return await to_completion(opening, lambda log: log.close())
