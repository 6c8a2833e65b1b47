"""Puts a controller together from settings and stores, for the composition roots."""

from ci_common.job import utc_now
from ci_common.ports import (
    ControllerBell,
    ControllerLease,
    Executor,
    JobTransitions,
    LogWriter,
    Packages,
)
from ci_common.settings import ExecutorKind, Settings
from ci_controller.controller import Controller, Pace
from ci_controller.executors.docker import DockerExecutor, DockerOptions
from ci_controller.executors.process import ProcessExecutor, ProcessOptions
from ci_controller.job_run import Tools


def build_executor(settings: Settings, instance_id: str) -> Executor:
    """The executor that the settings choose."""
    if settings.executor is ExecutorKind.PROCESS:
        return ProcessExecutor(
            ProcessOptions(
                instance_id=instance_id,
                data_path=settings.data_path,
                setup_timeout_seconds=settings.setup_timeout_seconds,
            )
        )
    return DockerExecutor(
        DockerOptions(
            instance_id=instance_id,
            image=settings.image,
            cache_dir=settings.data_path / "deps",
            container_prefix=settings.container_prefix,
            deps_cache_bytes=settings.deps_cache_mb << 20,
            setup_timeout_seconds=settings.setup_timeout_seconds,
        )
    )


def build_controller(
    settings: Settings,
    holder: str,
    executor: Executor,
    transitions: JobTransitions,
    lease: ControllerLease,
    logs: LogWriter,
    packages: Packages,
    bell: ControllerBell,
) -> Controller:
    """A controller that works as `holder`, the name its `transitions` were made with."""
    return Controller(
        Tools(transitions, executor, logs, packages, utc_now),
        lease,
        bell,
        holder,
        Pace(
            reconcile_seconds=settings.reconcile_seconds,
            max_concurrent_jobs=settings.max_concurrent_jobs,
            cancel_grace_seconds=settings.cancel_grace_seconds,
        ),
    )
