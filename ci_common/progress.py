"""What a job reports for programs, as lines of its output: `::progress {json}`, and, once and
before that, `::initialized {json}`.

The JSON object of progress has `current` and `total` (integers) and `phase` (a string), and may
have `iteration` (an integer), `score` (a number), `scores` (numbers by name) and `message` (a
string). That of `::initialized` may have `pipelineId` and `assetsHash` (strings) and `nodeCount`
(an integer). Other names are ignored, so that a later version may add some. A line that is anything
else is no report, but a line of the log like any other. The lines stay in the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ci_common.strict_json import AmbiguousJsonError, strict_object

PREFIX = b"::progress "
INITIALIZED_PREFIX = b"::initialized "

MAX_LINE_BYTES = 1000
"""What is longer is no report."""


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

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Progress":
        """Read what `to_facts` gave; other names are ignored."""
        told = {item.name: facts[item.name] for item in fields(cls) if item.name in facts}
        return cls(**told)

    def following(self, earlier: "Progress | None") -> "Progress":
        """This report, with the iteration and the score of an earlier one where it has none: of a
        job's reports only some have them.
        """
        if earlier is None:
            return self
        has_score = self.score is not None or bool(self.scores)
        return replace(
            self,
            iteration=earlier.iteration if self.iteration is None else self.iteration,
            score=self.score if has_score else earlier.score,
            scores=self.scores if has_score else earlier.scores,
        )


@dataclass(frozen=True, slots=True)
class Initialized:
    """What a job is about to work on, before its first step. Strings are the job's."""

    pipeline_id: str | None = None
    assets_hash: str | None = None
    node_count: int | None = None


def read_initialized(line: bytes) -> Initialized | None:
    """What a line, without its end, says of the job's input; `None` if it is no such line."""
    if not line.startswith(INITIALIZED_PREFIX) or len(line) > MAX_LINE_BYTES:
        return None
    try:
        told = strict_object(line[len(INITIALIZED_PREFIX) :])
    except AmbiguousJsonError:
        return None
    found = Initialized(told.get("pipelineId"), told.get("assetsHash"), told.get("nodeCount"))
    is_valid = (
        isinstance(found.pipeline_id, str | None)
        and isinstance(found.assets_hash, str | None)
        and (found.node_count is None or _is_integer(found.node_count))
    )
    return found if is_valid else None


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
    """Of those that every reader of JSON takes for the same number."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_integer(value)


class ProgressLines:
    """Takes the reports out of output that arrives in pieces of any size.

    Only the beginning of a line that may yet turn out to be a report is kept back.
    """

    def __init__(self) -> None:
        self.initialized: Initialized | None = None
        """The first such line that came before any progress."""
        self._has_progress = False
        self._held = b""
        self._in_line = False
        """Whether a part of the current line was handed on."""

    def feed(self, content: bytes) -> tuple[bytes, list[Progress]]:
        """The output without reports, as far as it is known, and the progress in it."""
        *lines, last = (self._held + content).split(b"\n")
        others: list[bytes] = []
        found: list[Progress] = []
        for line in lines:
            if self._in_line or not self._take(line, found):
                others.append(line + b"\n")
            self._in_line = False
        self._held = last if not self._in_line and _may_be_report(last) else b""
        if last and not self._held:
            others.append(last)
            self._in_line = True
        return b"".join(others), found

    def skip_line(self) -> None:
        """What comes next is in a line of which the beginning is unknown: it is no report."""
        self._held, self._in_line = b"", True

    def rest(self) -> bytes:
        """What is still kept back, at the end of the output."""
        held, self._held = self._held, b""
        self._in_line |= bool(held)
        return held

    def _take(self, line: bytes, found: list[Progress]) -> bool:
        """Whether a whole line is a report, which is taken then."""
        if (progress := read_progress(line)) is not None:
            self._has_progress = True
            found.append(progress)
            return True
        initialized = read_initialized(line)
        if self.initialized is None and not self._has_progress:
            self.initialized = initialized
        return initialized is not None


def _may_be_report(start: bytes) -> bool:
    return any(
        (start.startswith(prefix) and len(start) <= MAX_LINE_BYTES) or prefix.startswith(start)
        for prefix in (PREFIX, INITIALIZED_PREFIX)
    )
