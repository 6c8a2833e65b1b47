"""Strict parsing of untrusted JSON: ambiguous documents are refused."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from ci_common.errors import place_of

MAX_DEPTH = 32
"""Objects and arrays within each other. Nothing that is sent here needs more than a few."""

MAX_VALUES = 100_000
"""Unless a caller allows more. Each takes far more memory than the two bytes that may say it."""

_SEPARATORS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([,\[{])', re.DOTALL)
"""A group for each that is outside of strings. A string that is not closed is one to the end, so
that nothing is looked at twice.
"""

_LONGEST_INTEGER = 400
"""Digits. More is beyond what any number here can be, and takes long to convert."""

Path = Sequence[str | int]


class AmbiguousJsonError(ValueError):
    """Not a JSON object with one meaning. Its text says what is wrong, and repeats nothing of the
    content; `located` says where, too, for content of which the names are no secrets.
    """

    def __init__(self, what: str, path: Path = ()) -> None:
        super().__init__(f"not an unambiguous JSON object: {what}")
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


def strict_object(content: bytes, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """A JSON object in UTF-8, of which every part has one meaning to everybody: no name is
    repeated, numbers are finite, strings are Unicode, and it is not nested too deeply.

    Parsers disagree about what repeated names mean, and so do those who sign, or look through what
    was sent, and those who act on it. More than `max_values` values, in which an empty object or
    array counts as two, are not even parsed. Raises AmbiguousJsonError.
    """
    if _has_more(content, max_values):
        raise AmbiguousJsonError(f"it has more than {max_values} values")
    try:
        found = _DECODER.decode(content.decode("utf-8"))
    except RecursionError:
        raise AmbiguousJsonError("it is nested too deeply") from None
    except ValueError:
        raise AmbiguousJsonError("it is not JSON in UTF-8") from None
    for place, value in _walk(found):
        if problem := _problem(value, place.depth):
            path = place.path()
            raise AmbiguousJsonError(problem, (*path, value.name) if _is_repeated(value) else path)
    if not isinstance(found, dict):
        raise AmbiguousJsonError("it is not a JSON object")
    return found


def _has_more(content: bytes, values: int) -> bool:
    """Whether there are more values than so many: one, one after each comma, and one in each object
    and array.
    """
    if 1 + sum(map(content.count, (b",", b"[", b"{"))) <= values:
        return False
    separators = (found for found in _SEPARATORS.finditer(content) if found.lastindex)
    return next(islice(separators, values - 1, None), None) is not None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return _Repeated(name)
        found[name] = value
    return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)
"""Making one takes as long as reading a small document."""


class _Place(NamedTuple):
    """Where a value is: its own step, and the place of the container it is in."""

    parent: "_Place | None" = None
    step: str | int = ""
    depth: int = 0

    def path(self) -> Path:
        steps: list[str | int] = []
        place = self
        while place.parent is not None:
            steps.append(place.step)
            place = place.parent
        return steps[::-1]


def _walk(value: Any) -> Iterator[tuple[_Place, Any]]:
    """Every value, and every name with the place of its object."""
    waiting = [(_Place(), value)]
    yield waiting[0]
    while waiting:
        place, container = waiting.pop()
        items: Iterable[tuple[str | int, Any]] = ()
        if isinstance(container, dict):
            yield from ((place, name) for name in container)
            items = container.items()
        elif isinstance(container, list):
            items = enumerate(container)
        for step, inner in items:
            found = _Place(place, step, place.depth + 1), inner
            yield found
            if isinstance(inner, dict | list):
                waiting.append(found)


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
