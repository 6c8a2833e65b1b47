"""What the model-job API says, with types: jobs, results, artifacts.

Each class reads the JSON of the API, and raises ValueError for what is not such an answer. Times
are in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from ci_common.model_result import HASH

ENDED = ("completed", "failed", "cancelled")
"""The statuses of jobs that have ended; a job that is to be cancelled may still be under way."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A file that a job left."""

    name: str
    size: int
    """In bytes."""
    sha256: str
    url: str

    @classmethod
    def read(cls, found: Any) -> "ModelArtifact":
        """From the API."""
        texts = [_get(found, name, str) for name in ("name", "sha256", "url")]
        return cls(texts[0], _get(found, "size", int), texts[1], texts[2])


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Of the portfolio's net present value, in the currency of the model."""

    mean: float
    std_dev: float
    cte95: float
    """Mean of the lowest 5 %."""
    minimum: float
    maximum: float
    percentiles: Mapping[str, float]
    """By name: `p50`, `p99.5`."""

    @classmethod
    def read(cls, found: Any) -> "ModelStatistics":
        """From the API."""
        percentiles = _get(found, "percentiles", dict)
        return cls(
            mean=_number(found, "mean"),
            std_dev=_number(found, "stdDev"),
            cte95=_number(found, "cte95"),
            minimum=_number(found, "min"),
            maximum=_number(found, "max"),
            percentiles={str(name): _number(percentiles, name) for name in percentiles},
        )


@dataclass(frozen=True, slots=True)
class ModelResult:
    """What a job that succeeded has found. The server has checked it against its hash."""

    statistics: ModelStatistics
    policy_count: int
    scenario_count: int
    execution_time_ms: int | None
    result_hash: str
    """The engine's: the same on every machine."""
    artifacts: tuple[ModelArtifact, ...] = ()

    @classmethod
    def read(cls, found: Any) -> "ModelResult":
        """From the API."""
        return cls(
            ModelStatistics.read(_get(found, "statistics", dict)),
            _get(found, "policyCount", int),
            _get(found, "scenarioCount", int),
            _optional(found, "executionTimeMs", int),
            _get(found, "resultHash", str),
            tuple(map(ModelArtifact.read, _get(found, "artifacts", list))),
        )

    def document(self) -> dict[str, Any]:
        """As far as it is known here, what the engine's `results.json` says."""
        of = self.statistics
        statistics = {
            "mean_npv": of.mean, "std_dev": of.std_dev, "cte_95": of.cte95, "min": of.minimum,
            "max": of.maximum, "percentiles": dict(of.percentiles),
        }  # fmt: skip
        counts = {"policy_count": self.policy_count, "scenario_count": self.scenario_count}
        return {"statistics": statistics, **counts, HASH: self.result_hash}


@dataclass(frozen=True, slots=True)
class ModelJob:
    """A job of the model-job API."""

    job_id: str
    status: str
    """queued, initializing, running, completed, failed or cancelled."""
    model_name: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    execution_time_ms: int | None
    result: ModelResult | None
    """Of a completed job that left one."""
    error_message: str | None
    """Of a failed job, why."""
    package_hash: str | None
    """SHA-256 of the zip, which is not the `packageHash` of its manifest."""
    websocket_url: str | None
    """Where to watch it; it has a token for this job, which is not for others to see."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole answer."""

    @property
    def is_ended(self) -> bool:
        """Whether it has ended, or is to be cancelled."""
        return self.status in ENDED

    @classmethod
    def read(cls, found: Any) -> "ModelJob":
        """From the API."""
        data = found.get("resultData") if isinstance(found, dict) else None
        return cls(
            _get(found, "jobId", str),
            _get(found, "status", str),
            _optional(found, "modelName", str),
            _get(found, "priority", int),
            _moment(_get(found, "createdAt", str)),
            _optional_moment(_optional(found, "startedAt", str)),
            _optional_moment(_optional(found, "completedAt", str)),
            _optional(found, "executionTimeMs", int),
            None if data is None else ModelResult.read(data),
            _optional(found, "errorMessage", str),
            _optional(found, "packageHash", str),
            _optional(found, "websocketUrl", str),
            found,
        )


@dataclass(frozen=True, slots=True)
class SubmittedModel:
    """A model that the server has accepted."""

    job_id: str
    created_at: datetime
    estimated_start: datetime | None
    """`None` when the server cannot estimate it."""
    websocket_url: str | None
    """Where to watch it; it has a token for this job, which is not for others to see."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole answer."""

    @classmethod
    def read(cls, found: Any) -> "SubmittedModel":
        """From the API."""
        return cls(
            _get(found, "jobId", str),
            _moment(_get(found, "createdAt", str)),
            _optional_moment(_optional(found, "estimatedStartTime", str)),
            _optional(found, "websocketUrl", str),
            found,
        )


class ModelJobList(list[ModelJob]):
    """A page of jobs, newest first."""

    next_cursor: str | None = None
    """Asks for the page after this one; `None` on the last."""


def _get(found: Any, name: str, kind: type[_T]) -> _T:
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _missing(name)
    return value


def _optional(found: Any, name: str, kind: type[_T]) -> _T | None:
    return None if found.get(name) is None else _get(found, name, kind)


def _number(found: Any, name: str) -> float:
    value = found.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _missing(name)
    return float(value)


def _missing(name: str) -> ValueError:
    return ValueError(f"it has no usable {name}")


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found


def _optional_moment(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)
