"""Limits and priority of a job: defaults and ceilings."""

from dataclasses import dataclass, replace
from typing import TypeVar

from ci_common.errors import InvalidConfigError
from ci_common.job import ResourceLimits

Number = TypeVar("Number", bound=float | None)


@dataclass(frozen=True, slots=True)
class DefaultLimits:
    """What a job gets that asks for nothing."""

    timeout_seconds: float
    cpu_percent: int | None
    memory_mb: int | None
    pids: int
    log_mb: int
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class LimitCeilings:
    """The most that a job may ask for; `None` leaves it to the engine."""

    timeout_seconds: float | None = None
    cpu_percent: int | None = None
    memory_mb: int | None = None
    pids: int | None = None
    priority: int | None = None
    """Of those who may not go above it, see `ci_common.policy`."""

    def check(self, limits: ResourceLimits) -> None:
        """Raises InvalidConfigError for what is above."""
        self._check("timeout", limits.timeout_seconds, self.timeout_seconds, "s", "TIMEOUT_SECONDS")
        self._check("cpu", limits.cpu_percent, self.cpu_percent, "percent", "CPU_PERCENT")
        self._check("memory", limits.memory_mb, self.memory_mb, "MiB", "MEMORY_MB")
        self._check("shm", limits.shm_mb, self.memory_mb, "MiB", "MEMORY_MB")
        self._check("pids", limits.pids, self.pids, "processes", "PIDS")

    def check_priority(self, priority: int) -> None:
        """Raises InvalidConfigError for one above the ceiling. Not a part of `check`, because it
        depends on who asks.
        """
        if self.priority is not None and priority > self.priority:
            raise InvalidConfigError(
                f"the job asks for a priority of {priority}; this server allows at most "
                f"{self.priority} (CI_MAX_PRIORITY), except to admins"
            )

    def at_most(self, defaults: DefaultLimits) -> DefaultLimits:
        """Defaults that a job may have: the ceiling, where there is none or it is above."""
        return replace(
            defaults,
            timeout_seconds=_least(defaults.timeout_seconds, self.timeout_seconds),
            cpu_percent=_least(defaults.cpu_percent, self.cpu_percent),
            memory_mb=_least(defaults.memory_mb, self.memory_mb),
            pids=_least(defaults.pids, self.pids),
        )

    def filled(self, limits: ResourceLimits) -> ResourceLimits:
        """Limits with the ceiling where there is none, as a job has them that asks for none."""
        return replace(
            limits,
            cpu_percent=self.cpu_percent if limits.cpu_percent is None else limits.cpu_percent,
            memory_mb=self.memory_mb if limits.memory_mb is None else limits.memory_mb,
        )

    def _check(
        self, key: str, asked: float | None, most: float | None, unit: str, setting: str
    ) -> None:
        if asked is not None and most is not None and asked > most:
            raise InvalidConfigError(
                f"the job asks for a {key} of {asked:g} {unit}; this server allows at most "
                f"{most:g} (CI_MAX_{setting})"
            )


NO_CEILINGS = LimitCeilings()


def _least(default: Number, ceiling: Number | None) -> Number:
    if ceiling is None or (default is not None and default <= ceiling):
        return default
    return ceiling
