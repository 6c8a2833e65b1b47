"""A model's `results.json`: checked against its own hash, and shown as a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ci_client.command.report_display import printable
from ci_client.errors import ModelResultError
from ci_common.model_result import HASH, WARNINGS, parse_result

_BEFORE = (
    ("mean_npv", "Mean NPV"),
    ("std_dev", "Standard deviation"),
    ("min", "Least"),
    ("cte_95", "CTE 95 (lowest 5 %)"),
)
_AFTER = (("max", "Greatest"),)


def read_results(path: Path) -> dict[str, Any]:
    """A result whose hash is right.

    Raises:
        ModelResultError: it is missing, is no result, or is not what its hash says.
    """
    try:
        return parse_result(path.read_bytes())
    except FileNotFoundError:
        raise ModelResultError(f"The job left no {path.name}.") from None
    except ValueError as error:
        raise ModelResultError(f"{path} is not a result of the engine: {error}.") from error


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
