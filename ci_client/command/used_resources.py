"""The CPU and memory that a job used, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from ci_client.command.display import duration_text
from ci_client.command.report_display import size_text

_LARGEST = float(1 << 53)


def resource_lines(job: Mapping[str, Any]) -> Iterator[str]:
    """Its peaks, beside its limits. Nothing for a job without samples, or of an older server."""
    used, peak = _part(job, "resources"), _part(job, "resources", "peak")
    limits = _part(job, "settings", "limits")
    cores, percent = _number(peak, "cpu_cores"), _number(limits, "cpu_percent")
    if cores is not None:
        limit = "" if percent is None else f", limit {percent / 100:g}"
        seconds = _number(used, "cpu_seconds")
        total = "" if seconds is None else f"; about {duration_text(seconds)} of CPU time"
        yield f"CPU:        peak {cores:.2f} cores{limit}{total}"
    memory, most = _number(peak, "memory_bytes"), _number(limits, "memory_mb")
    if memory is not None:
        limit = "" if most is None else f", limit {size_text(int(most) << 20)}"
        yield f"Memory:     peak {size_text(int(memory))}{limit}"


def _part(job: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = job
    for name in names:
        found = found.get(name)
        if not isinstance(found, dict):
            return {}
    part: Mapping[str, Any] = found
    return part


def _number(part: Mapping[str, Any], name: str) -> float | None:
    value = part.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < _LARGEST else None
