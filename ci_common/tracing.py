"""Spans of jobs, and where they go. Whoever records one neither waits nor fails for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from typing_extensions import override

Value = str | int | float | bool

SUBMIT = "submit"
"""The name of the span that is below the caller's, and above the job's."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a trace, when it is over; ids in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: datetime
    end: datetime
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    """Why it did not succeed."""


class Tracer(Protocol):
    """Takes spans, from any thread, without blocking. It drops what it cannot keep."""

    @property
    def is_recording(self) -> bool:
        """Whether anybody wants spans; else it is not worth making them."""

    def record(self, *spans: Span) -> None:
        """Take these."""

    def close(self) -> None:
        """Send what there is, for a moment."""


class _NoTracer(Tracer):
    @property
    @override
    def is_recording(self) -> bool:
        return False

    @override
    def record(self, *spans: Span) -> None:
        """Nobody wants them."""

    @override
    def close(self) -> None:
        """There is nothing."""


NO_TRACER: Tracer = _NoTracer()
