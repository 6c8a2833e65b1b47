"""Counters for Prometheus, in its text format, version 0.0.4."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """What has happened since the start; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._models: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._busy = 0
        self._seconds = 0.0
        self._peak = 0

    def count_request(self, path: str, status: int) -> None:
        """A request was answered; `path` is one of few."""
        with self._lock:
            self._requests[path, str(status)] += 1

    def count_model(self, outcome: str, seconds: float, peak_memory: int | None = None) -> None:
        """A model ended, after seconds of which the request's body took none."""
        with self._lock:
            self._models[outcome] += 1
            self._buckets.update(bound for bound in BUCKETS if seconds <= bound)
            self._seconds += seconds
            self._peak = max(self._peak, peak_memory or 0)

    def count_busy(self) -> None:
        """A model was not taken, because another one ran."""
        with self._lock:
            self._busy += 1

    def text(self, gauges: Mapping[str, tuple[str, float | None]]) -> str:
        """All of it, with gauges: by name, what each is, and its value."""
        with self._lock:
            lines = [*self._request_lines(), *self._model_lines(), *self._second_lines()]
        for name, (what, value) in gauges.items():
            if value is not None:
                lines += _described(name, what, "gauge", [f"{name} {_number(value)}"])
        return "\n".join(lines) + "\n"

    def _request_lines(self) -> list[str]:
        name = "engine_http_requests_total"
        rows = [
            f'{name}{{path="{path}",code="{code}"}} {count}'
            for (path, code), count in sorted(self._requests.items())
        ]
        return _described(name, "Requests answered.", "counter", rows)

    def _model_lines(self) -> list[str]:
        name = "engine_models_total"
        rows = [f'{name}{{outcome="{word}"}} {n}' for word, n in sorted(self._models.items())]
        lines = _described(name, "Models ended, by outcome.", "counter", rows)
        name = "engine_busy_refusals_total"
        what = "Models refused because another one was running."
        return lines + _described(name, what, "counter", [f"{name} {self._busy}"])

    def _second_lines(self) -> list[str]:
        name, total = "engine_model_seconds", self._models.total()
        rows = [f'{name}_bucket{{le="{bound}"}} {self._buckets[bound]}' for bound in BUCKETS]
        rows += [f'{name}_bucket{{le="+Inf"}} {total}']
        rows += [f"{name}_sum {_number(self._seconds)}", f"{name}_count {total}"]
        lines = _described(name, "Duration of models in seconds.", "histogram", rows)
        peak = "engine_model_peak_memory_bytes"
        row = f"{peak} {self._peak}"
        return lines + _described(peak, "Peak memory of any completed model.", "gauge", [row])


def _described(name: str, what: str, kind: str, rows: Iterable[str]) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}", *rows]


def _number(value: float) -> str:
    return repr(value)
