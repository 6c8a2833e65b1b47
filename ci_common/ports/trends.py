"""How the recent jobs of a name went."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from ci_common.policy import JobScope

TREND_RUNS = 20
"""Jobs of one name that a trend has at most."""
TREND_WINDOW = 5_000
"""Trends are about so many of the newest jobs at most."""


@dataclass(frozen=True, slots=True)
class TrendRun:
    """A job that passed or failed."""

    passed: bool
    seconds: float | None
    """How long its command ran; `None` if it never started."""


@dataclass(frozen=True, slots=True)
class JobTrend:
    """The latest jobs of one name."""

    tenant: str
    name: str
    runs: tuple[TrendRun, ...]
    """Newest first."""

    @property
    def passed(self) -> int:
        """How many of them passed."""
        return sum(run.passed for run in self.runs)


class JobTrends(Protocol):
    """Trends of jobs by their names."""

    async def trends(self, scope: JobScope, names: Collection[str]) -> list[JobTrend]:
        """Of each of these names the last `TREND_RUNS` jobs that passed or failed, among the
        newest `TREND_WINDOW` jobs in the scope. Only jobs with a project have names of their own,
        so the others do not count, nor do cancelled jobs. A name without such jobs is left out.
        """
