"""`output/result.json`: what a run's image says it found, read by whoever did not write it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ci_common.strict_json import AmbiguousJsonError, strict_object

OUTPUT = "output"
FILE = "result.json"
MOST_BYTES = 1 << 20

FILE_KINDS = ("anndata", "report", "log")
"""What the files are that a result names."""

MOST_LISTED_BYTES = 16 << 10
"""Of `iterations`, as JSON, in lists of runs, of which each may have a hundred."""

_LONGEST_TEXT = 1000
_MOST_SCORES = 100
_LONGEST_SCORE_NAME = 200
_LISTS = (
    "top_upregulated",
    "top_downregulated",
    "enriched_pathways",
    "activated_tfs",
    "iterations",
)
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a result says, each field as it is written in it."""

    success: bool
    grounding_score: float | None
    grounding_scores: Mapping[str, float] | None
    termination_reason: str | None
    num_de_genes: int | None
    top_upregulated: tuple[Mapping[str, Any], ...]
    top_downregulated: tuple[Mapping[str, Any], ...]
    enriched_pathways: tuple[Mapping[str, Any], ...]
    activated_tfs: tuple[Mapping[str, Any], ...]
    control_strategy_effective: str | None
    control_cells_available: int | None
    iterations: tuple[Mapping[str, Any], ...]
    files: Mapping[str, str]
    """The names of the three files in `output/`, by `FILE_KINDS`; those that the result names."""

    def summary(self) -> "RunResult":
        """What statuses and lists of runs tell: a bounded part, because many of them are kept in
        memory. Lists are empty, but for `iterations` when they are short.
        """
        is_short = len(json.dumps(self.iterations)) <= MOST_LISTED_BYTES
        return replace(
            self,
            top_upregulated=(),
            top_downregulated=(),
            enriched_pathways=(),
            activated_tfs=(),
            iterations=self.iterations if is_short else (),
        )


def default_file(run_id: str, kind: str) -> str:
    """What a file is called when no result says otherwise."""
    endings = {"anndata": "predictions.h5ad", "report": "report.html", "log": "log.json"}
    return f"{run_id}_{endings[kind]}"


def parse_result(content: bytes) -> RunResult:
    """Raises ValueError, with a message for people, for what does not match the schema."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        document = strict_object(content)
    except AmbiguousJsonError as error:
        raise ValueError(error.located[:_LONGEST_TEXT]) from None
    return _Reader(document).read()


class _Reader:
    """Takes a document's fields. Those that may be missing may be null, too."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def read(self) -> RunResult:
        success = self._document.get("success")
        if not isinstance(success, bool):
            raise ValueError("success must be true or false")  # noqa: TRY004
        lists = {name: self._list(name) for name in _LISTS}
        return RunResult(
            success=success,
            grounding_score=self._number("grounding_score"),
            grounding_scores=self._scores("grounding_scores"),
            termination_reason=self._text("termination_reason"),
            num_de_genes=self._count("num_de_genes"),
            control_strategy_effective=self._text("control_strategy_effective"),
            control_cells_available=self._count("control_cells_available"),
            files=self._files("files"),
            **lists,
        )

    def _text(self, name: str) -> str | None:
        value = self._document.get(name)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
        if value is not None and len(value) > _LONGEST_TEXT:
            raise ValueError(f"{name} must have at most {_LONGEST_TEXT} characters")
        return value

    def _number(self, name: str) -> float | None:
        value = self._document.get(name)
        if value is not None and not _is_number(value):
            raise ValueError(f"{name} must be a number")
        return value

    def _count(self, name: str) -> int | None:
        value = self._document.get(name)
        if value is None or (_is_number(value) and isinstance(value, int) and 0 <= value < 1 << 53):
            return value
        raise ValueError(f"{name} must be an integer, 0 or more")

    def _scores(self, name: str) -> Mapping[str, float] | None:
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(map(_is_number, value.values())):
            raise ValueError(f"{name} must be an object of numbers")
        if len(value) > _MOST_SCORES or any(len(key) > _LONGEST_SCORE_NAME for key in value):
            raise ValueError(
                f"{name} must have at most {_MOST_SCORES} numbers, with names of at most "
                f"{_LONGEST_SCORE_NAME} characters"
            )
        return value

    def _list(self, name: str) -> tuple[Mapping[str, Any], ...]:
        value = self._document.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(f"{name} must be a list of objects")
        return tuple(value)

    def _files(self, name: str) -> Mapping[str, str]:
        value = self._document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object")  # noqa: TRY004
        found = {kind: value[kind] for kind in FILE_KINDS if value.get(kind) is not None}
        for kind, file in found.items():
            if not isinstance(file, str) or not _FILE_NAME.fullmatch(file):
                raise ValueError(f"{name}.{kind} must be the name of a file in {OUTPUT}/")
        return found


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1 << 1000 if isinstance(value, int) else math.isfinite(value)
