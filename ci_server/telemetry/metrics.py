"""What the server counts while it serves. Every label has a bounded set of values."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""A method that HTTP does not know, or a path without a route."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class ServerMetrics:
    """The instruments of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "ci_http_requests",
            "HTTP requests, WebSockets included, by the route's template.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        """Found again without a look at each label."""
        self._start = Histogram(
            "ci_http_response_start_seconds",
            "From a request's head until its response starts. A stream may go on for long.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._calls = Counter(
            "ci_grpc_requests", "Calls of gRPC.", ["method", "code"], registry=registry
        )
        self._call_seconds = Histogram(
            "ci_grpc_request_seconds",
            "Whole calls of gRPC; streams go on for long.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._open = Gauge(
            "ci_open_connections",
            "Streams (downloads included) and uploads in progress.",
            ["kind"],
            registry=registry,
        )
        self._caches = _Caches()
        registry.register(self._caches)
        self._lag = Histogram(
            "ci_event_lag_seconds",
            "From a job event until the readers of this process get it.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count a request; `seconds` until its response began, if one did."""
        method = method if method in _METHODS else OTHER
        key = method, route, status
        found = self._of_requests.get(key)
        if found is None:
            found = self._of_requests[key] = (
                self._requests.labels(method, route, str(status)),
                self._start.labels(method, route),
            )
        requests, start = found
        requests.inc()
        if seconds is not None:
            start.observe(seconds)

    def event_lag(self, seconds: float) -> None:
        """Count an event that readers get so late."""
        self._lag.observe(max(seconds, 0.0))

    def called(self, method: str, code: str, seconds: float) -> None:
        """Count a call of gRPC."""
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)

    def watch(self, kind: str, number: Callable[[], int]) -> None:
        """Tell how many streams, or uploads, there are."""
        self._open.labels(kind).set_function(number)

    def watch_cache(self, name: str, counts: Callable[[], tuple[int, int]]) -> None:
        """Tell the hits and misses of a cache."""
        self._caches.counts[name] = counts


class _Caches(Collector):
    """Reads what caches count by themselves."""

    def __init__(self) -> None:
        self.counts: dict[str, Callable[[], tuple[int, int]]] = {}

    @override
    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "ci_cache_requests", "What caches were asked for.", labels=["cache", "result"]
        )
        for name, counts in self.counts.items():
            for result, number in zip(("hit", "miss"), counts(), strict=True):
                family.add_metric([name, result], number)
        yield family
