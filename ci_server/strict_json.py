"""JSON from strangers: one meaning or none."""

import json
from typing import Any, NoReturn


class StrangeJsonError(ValueError):
    """Not a JSON object with one meaning."""


def strict_object(content: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8, without repeated names, NaN or infinity.

    Parsers disagree about what repeated names mean, and so do those who sign, or look through what
    was sent, and those who act on it. Raises StrangeJsonError; its message holds nothing of the
    content.
    """
    try:
        found = json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_repetition, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise StrangeJsonError("not a JSON object, or one that is ambiguous") from None
    if not isinstance(found, dict):
        raise StrangeJsonError("not a JSON object")
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
