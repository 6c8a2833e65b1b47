"""What a controller counts. Every label has a bounded set of values."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from typing_extensions import override

from ci_common.errors import RunnerError
from ci_controller.telemetry.meter import TickMeter

_TICK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_OPERATION_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


class ControllerMetrics(TickMeter):
    """The instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ticks = Histogram(
            "ci_controller_tick_seconds",
            "Ticks of the controller that reconciles.",
            buckets=_TICK_SECONDS,
            registry=registry,
        )
        self._tick_errors = Counter(
            "ci_controller_tick_errors",
            "Ticks that an error ended, by its code.",
            ["code"],
            registry=registry,
        )
        self._operations = Histogram(
            "ci_executor_operation_seconds",
            "Calls of the executor, those that failed included.",
            ["operation"],
            buckets=_OPERATION_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "ci_executor_errors",
            "Calls of the executor that failed, by the code of the error.",
            ["operation", "code"],
            registry=registry,
        )
        self._caches = Counter(
            "ci_launch_cache_requests",
            "Launches, by whether an image had to be fetched, or requirements to be installed.",
            ["cache", "result"],
            registry=registry,
        )

    @override
    def ticked(self, seconds: float, error: Exception | None) -> None:
        self._ticks.observe(seconds)
        if error is not None:
            self._tick_errors.labels(code_of(error)).inc()

    def called(self, operation: str, seconds: float, error: Exception | None) -> None:
        """Count a call of the executor."""
        self._operations.labels(operation).observe(seconds)
        if error is not None:
            self._errors.labels(operation, code_of(error)).inc()

    def launched(self, *, pulled: bool, installed: bool) -> None:
        """Count a launch, by what it had to do."""
        self._caches.labels("image", "miss" if pulled else "hit").inc()
        self._caches.labels("requirements", "miss" if installed else "hit").inc()


def code_of(error: Exception) -> str:
    """The stable code of an error of ours; of any other `internal_error`."""
    return error.code if isinstance(error, RunnerError) else "internal_error"
