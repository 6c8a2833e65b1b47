"""The executors there are: by name, the settings that each reads, and what makes it.

A new executor is a folder beside this module, and an entry of `EXECUTORS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import field_validator

from ci_common.errors import SettingsError
from ci_common.job import ResourceLimits
from ci_common.ports.workloads import Executor
from ci_common.settings import EnvironmentSettings, Settings, read_settings
from ci_common.settings.near_misses import near_misses
from ci_controller.executors.docker import DockerSettings, docker_executor
from ci_controller.executors.process import ProcessSettings, process_executor
from ci_controller.executors.shared.context import ExecutorContext

Own = TypeVar("Own", bound=EnvironmentSettings)


@dataclass(frozen=True, slots=True)
class ExecutorKind(Generic[Own]):
    """One way to run jobs."""

    settings: type[Own]
    """Read whichever executor is chosen, so that wrong values are noticed: each field has a
    default, and what is needed beyond that the factory asks for.
    """
    build: Callable[[Own, ExecutorContext], Executor]
    """May raise SettingsError. It starts nothing and calls no engine."""


EXECUTORS: dict[str, ExecutorKind[Any]] = {
    "docker": ExecutorKind(DockerSettings, docker_executor),
    "process": ExecutorKind(ProcessSettings, process_executor),
}
"""By the value of CI_EXECUTOR."""


class _CheckedSettings(Settings):
    """Settings whose executor is there."""

    @field_validator("executor")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if name not in EXECUTORS:
            raise ValueError(_unknown_name())
        return name


def load_settings() -> Settings:
    """The settings of the environment, once those of all executors were read as well.

    Raises SettingsError, which names each wrong variable.
    """
    return read_settings(_CheckedSettings, *(kind.settings for kind in EXECUTORS.values()))


def misspelled_settings(variables: Iterable[str]) -> dict[str, str]:
    """By variable of the environment that is no setting, the one that was probably meant."""
    return near_misses(variables, [Settings, *(kind.settings for kind in EXECUTORS.values())])


def build_executor(
    settings: Settings, instance_id: str, own: EnvironmentSettings | None = None
) -> Executor:
    """The executor that the settings choose; its own settings come from the environment unless
    they are given. Raises SettingsError.
    """
    kind = EXECUTORS.get(settings.executor)
    if kind is None:
        raise SettingsError(f"CI_EXECUTOR: {_unknown_name()}")
    context = ExecutorContext(
        instance_id=instance_id,
        data_path=settings.data_path,
        setup_timeout_seconds=settings.setup_timeout_seconds,
        work_mb=settings.max_work_mb,
        setup_limits=ResourceLimits(
            cpu_percent=settings.default_cpu_percent or settings.max_cpu_percent,
            memory_mb=settings.default_memory_mb or settings.max_memory_mb,
            pids=settings.default_pids,
        ),
        setup_env=settings.setup_env,
    )
    return kind.build(own or read_settings(kind.settings), context)


def default_image(settings: Settings) -> str | None:
    """The image of jobs that name none; `None` for an executor without images.

    Raises SettingsError.
    """
    kind = EXECUTORS.get(settings.executor)
    own = read_settings(kind.settings) if kind else None
    return own.image if isinstance(own, DockerSettings) else None


def _unknown_name() -> str:
    *names, last = (f"'{name}'" for name in EXECUTORS)
    return f"Input should be {', '.join(names)} or {last}"
