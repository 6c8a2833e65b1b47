"""The engine's `results.json`, read by whoever did not make it."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

FILE = "results.json"
OUTPUT = "output"
"""Where a job of the engine writes, relative to the model."""

_MOST_BRACKETS = 10_000
"""A result has a handful of lists and objects."""
HASH, WARNINGS = "result_hash", "warnings"

MOST_PERCENTILES = 1000

_NUMBERS = ("mean_npv", "std_dev", "cte_95", "min", "max")
_PERCENTILE = re.compile(r"p\d{1,3}(\.\d{1,18})?")
_COUNTS = ("policy_count", "scenario_count")


def result_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a result without its hash and its warnings.

    The text is JSON with sorted keys, no spaces, and the shortest floats.
    """
    content = {key: value for key, value in document.items() if key not in (HASH, WARNINGS)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def parse_result(content: bytes) -> dict[str, Any]:
    """A result that is whole, and whose hash is right.

    Raises ValueError, with a message for people, when it is not one.
    """
    if content.count(b"[") + content.count(b"{") > _MOST_BRACKETS:
        raise ValueError("it has too many lists and objects in it")
    try:
        document = json.loads(content)
        problem = _problem(document)
        found = "" if problem else result_hash(document)
    except (ValueError, RecursionError, OverflowError) as error:  # integers beyond any float
        raise ValueError(
            f"it is not JSON of numbers and strings ({type(error).__name__})"
        ) from None
    if problem:
        raise ValueError(problem)
    if found != document[HASH]:
        claimed = ascii(document[HASH])[1:-1]  # it may be a text that cannot be encoded
        raise ValueError(f"the {HASH} of its content is {found}, not {claimed:.80}")
    return dict(document)


def _problem(document: Any) -> str | None:
    if not isinstance(document, dict) or not isinstance(document.get("statistics"), dict):
        return "it has no statistics"
    statistics = document["statistics"]
    percentiles = statistics.get("percentiles")
    numbers = [statistics.get(name) for name in _NUMBERS]
    if not isinstance(percentiles, dict) or not all(map(_is_number, numbers)):
        return f"its statistics lack one of {', '.join(_NUMBERS)}, percentiles"
    if len(percentiles) > MOST_PERCENTILES:
        return f"it has more than {MOST_PERCENTILES} percentiles"
    if not all(_PERCENTILE.fullmatch(name) for name in percentiles):
        return "the name of a percentile is not like p50 or p99.5"
    if not all(map(_is_number, percentiles.values())):
        return "a percentile is not a number"
    if not all(_is_count(document.get(name)) for name in _COUNTS):
        return f"it lacks one of {', '.join(_COUNTS)}"
    return None if isinstance(document.get(HASH), str) else f"it has no {HASH}"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
