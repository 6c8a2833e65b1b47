"""`output/result.json`: what a run's image says it found, read by whoever did not write it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUTPUT = "output"
FILE = "result.json"
MOST_BYTES = 1 << 20

FILE_KINDS = ("anndata", "report", "log")
"""What the files are that a result names."""

_MOST_BRACKETS = 100_000
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


def default_file(run_id: str, kind: str) -> str:
    """What a file is called when no result says otherwise."""
    endings = {"anndata": "predictions.h5ad", "report": "report.html", "log": "log.json"}
    return f"{run_id}_{endings[kind]}"


def parse_result(content: bytes) -> RunResult:
    """Raises ValueError, with a message for people, for what does not match the schema."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    if content.count(b"[") + content.count(b"{") > _MOST_BRACKETS:
        raise ValueError("it has too many lists and objects in it")
    try:
        document = json.loads(content, parse_constant=_no_number)
        _check_text(document)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})"[:200]) from None
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - callers have one error
    return _Reader(document).read()


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _check_text(document: object) -> None:
    """Raise UnicodeEncodeError for halves of characters, which no answer can hold."""
    json.dumps(document, ensure_ascii=False).encode()


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
            raise ValueError(f"{name} must be a text")
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
        raise ValueError(f"{name} must be an integer from 0")

    def _scores(self, name: str) -> Mapping[str, float] | None:
        value = self._document.get(name)
        if value is None or (isinstance(value, dict) and all(map(_is_number, value.values()))):
            return value
        raise ValueError(f"{name} must be an object of numbers")

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
