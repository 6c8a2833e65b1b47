"""JSON from strangers: one meaning or none."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ci_common.errors import place_of

MAX_DEPTH = 32
"""Objects and arrays within each other. Nothing that is sent here needs more than a few."""

_LONGEST_INTEGER = 400
"""Digits. More is beyond what any number here can be, and takes long to convert."""

Path = Sequence[str | int]


class AmbiguousJsonError(ValueError):
    """Not a JSON object with one meaning. Its text says what is wrong, and repeats nothing of the
    content; `located` says where, too, for content of which the names are no secrets.
    """

    def __init__(self, what: str, path: Path = ()) -> None:
        super().__init__(f"not a JSON object with one meaning: {what}")
        self._what = what
        self._path = path

    @property
    def located(self) -> str:
        """What is wrong, after the names and numbers that lead there."""
        return f"{place_of(self._path)}: {self._what}" if self._path else str(self)


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Stands for an object in which a name is repeated."""

    name: str


def strict_object(content: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8, of which every part has one meaning to everybody: no name is
    repeated, numbers are finite, strings are Unicode, and it is not nested too deeply.

    Parsers disagree about what repeated names mean, and so do those who sign, or look through what
    was sent, and those who act on it. Raises AmbiguousJsonError.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        raise AmbiguousJsonError("it is nested too deeply") from None
    except ValueError:
        raise AmbiguousJsonError("it is not JSON in UTF-8") from None
    for path, value in _walk(found):
        if problem := _problem(value, len(path)):
            raise AmbiguousJsonError(problem, (*path, value.name) if _is_repeated(value) else path)
    if not isinstance(found, dict):
        raise AmbiguousJsonError("it is not a JSON object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return _Repeated(name)
        found[name] = value
    return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


def _walk(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value, and every name, with the path to it."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            yield from ((path, name) for name in value)
            waiting += [((*path, name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, at), inner) for at, inner in enumerate(value)]


def _problem(value: Any, depth: int) -> str | None:
    if _is_repeated(value):
        return "duplicate key"
    if depth > MAX_DEPTH:
        return "it is nested too deeply"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number is not finite, or too large"
    if isinstance(value, str) and not _is_unicode(value):
        return "a string has half of a surrogate pair, which is not Unicode"
    return None


def _is_repeated(value: Any) -> bool:
    return isinstance(value, _Repeated)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
