"""A model's `results.json`: checked against its own hash, and shown as a table."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ci_client.command.report_display import printable
from ci_client.errors import ModelResultError

HASH, WARNINGS = "result_hash", "warnings"

_BEFORE = (
    ("mean_npv", "Mean NPV"),
    ("std_dev", "Standard deviation"),
    ("min", "Least"),
    ("cte_95", "CTE 95 (lowest 5 %)"),
)
_AFTER = (("max", "Greatest"),)


def result_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a result without its hash and its warnings.

    The text is JSON with sorted keys, no spaces, and the shortest floats.
    """
    content = {key: value for key, value in document.items() if key not in (HASH, WARNINGS)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_results(path: Path) -> dict[str, Any]:
    """A result whose hash is right.

    Raises:
        ModelResultError: it is missing, is no result, or is not what its hash says.
    """
    try:
        document = json.loads(path.read_bytes())
        statistics_table(document)
    except FileNotFoundError:
        raise ModelResultError(f"The job left no {path.name}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelResultError(f"{path} is not a result of the engine ({error}).") from error
    found = result_hash(document)
    if found != document[HASH]:
        raise ModelResultError(
            f"{path} is not what its result_hash says: the hash of its content is {found}, "
            f"not {printable(str(document[HASH]))}."
        )
    return dict(document)


def statistics_table(document: Mapping[str, Any]) -> str:
    """The statistics, one a line, numbers flush right, and the hash."""
    found = document["statistics"]
    amounts = [(label, found[key]) for key, label in _BEFORE]
    percentiles = sorted((float(key[1:]), amount) for key, amount in found["percentiles"].items())
    amounts += [(f"Percentile {p:g}", amount) for p, amount in percentiles]
    amounts += [(label, found[key]) for key, label in _AFTER]
    rows = [(label, f"{float(amount):,.2f}") for label, amount in amounts]
    width = max(len(text) for _, text in rows)
    head = f"{int(document['policy_count']):,} policies, {int(document['scenario_count']):,} "
    warnings = [f"Warning: {printable(str(text))}" for text in document.get(WARNINGS, [])]
    lines = [head + "scenarios"]
    lines += [f"  {label:<20} {text:>{width}}" for label, text in rows]
    return "\n".join([*lines, *warnings, f"result_hash {printable(str(document[HASH]))}"])
