"""Progress that a job reports, as lines of its output: `::progress {json}`.

The JSON object has `current` and `total` (integers) and `phase` (a string), and may have
`iteration` (an integer), `score` (a number), `scores` (numbers by name) and `message` (a string).
Other names are ignored, so that a later version may add some. A line that is anything else is no
progress, but a line of the log like any other. The lines stay in the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ci_common.strict_json import AmbiguousJsonError, strict_object

PREFIX = b"::progress "

MAX_LINE_BYTES = 1000
"""What is longer is no progress."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase of a job is. Strings in it are the job's: they may hold anything."""

    current: int
    total: int
    phase: str
    iteration: int | None = None
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None

    def to_facts(self) -> dict[str, Any]:
        """The reported values, by the names used in the line; values not reported are omitted."""
        facts = {item.name: getattr(self, item.name) for item in fields(self)}
        facts["scores"] = dict(self.scores) or None
        return {name: value for name, value in facts.items() if value is not None}


def read_progress(line: bytes) -> Progress | None:
    """What a line, without its end, reports; `None` if it is no progress."""
    if not line.startswith(PREFIX) or len(line) > MAX_LINE_BYTES:
        return None
    try:
        told = strict_object(line[len(PREFIX) :])
    except AmbiguousJsonError:
        return None
    return _progress(told) if _is_valid(told) else None


def _progress(told: dict[str, Any]) -> Progress:
    return Progress(
        told["current"],
        told["total"],
        told["phase"],
        told.get("iteration"),
        told.get("score"),
        told.get("scores") or {},
        told.get("message"),
    )


def _is_valid(told: dict[str, Any]) -> bool:
    scores = told.get("scores")
    return (
        _is_integer(told.get("current"))
        and _is_integer(told.get("total"))
        and isinstance(told.get("phase"), str)
        and (told.get("iteration") is None or _is_integer(told["iteration"]))
        and (told.get("score") is None or _is_number(told["score"]))
        and (scores is None or (isinstance(scores, dict) and all(map(_is_number, scores.values()))))
        and isinstance(told.get("message"), str | None)
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class ProgressLines:
    """Takes the progress out of output that arrives in pieces of any size.

    Only the beginning of a line that may yet turn out to be progress is kept back.
    """

    def __init__(self) -> None:
        self._held = b""
        self._in_line = False
        """Whether a part of the current line was handed on."""

    def feed(self, content: bytes) -> tuple[bytes, list[Progress]]:
        """The output without progress, as far as it is known, and the progress in it."""
        *lines, last = (self._held + content).split(b"\n")
        others: list[bytes] = []
        found: list[Progress] = []
        for line in lines:
            progress = None if self._in_line else read_progress(line)
            if progress is None:
                others.append(line + b"\n")
            else:
                found.append(progress)
            self._in_line = False
        self._held = last if not self._in_line and _may_be_progress(last) else b""
        if last and not self._held:
            others.append(last)
            self._in_line = True
        return b"".join(others), found

    def rest(self) -> bytes:
        """What is still kept back, at the end of the output."""
        held, self._held = self._held, b""
        self._in_line |= bool(held)
        return held


def _may_be_progress(start: bytes) -> bool:
    return (start.startswith(PREFIX) and len(start) <= MAX_LINE_BYTES) or PREFIX.startswith(start)
