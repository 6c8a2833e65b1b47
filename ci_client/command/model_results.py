"""A model's results: fetched, checked against their own hash, and shown as a table."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ci_client.client import Client
from ci_client.command.report_display import printable
from ci_client.errors import ModelResultError
from ci_common.model_result import FILE, HASH, OUTPUT, WARNINGS, parse_result

_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|]')
_NAME_BYTES = 180

_BEFORE = (
    ("mean_npv", "Mean NPV"),
    ("std_dev", "Standard deviation"),
    ("min", "Least"),
    ("cte_95", "CTE 95 (lowest 5 %)"),
)
_AFTER = (("max", "Greatest"),)


def results_directory(model: str | None, job_id: str) -> str:
    """A new directory for the results of a job, named after its model, which may be anything."""
    plain = "".join(c if c.isprintable() else "-" for c in model or "model")
    name = _NOT_IN_NAMES.sub("-", plain).encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{name}-results-{job_id[:8]}"


def where_results_are(directory: str) -> str:
    """A message, once `fetch_results` has returned."""
    return f"Results in {directory}; their {HASH} matches."


def fetch_results(client: Client, job_id: str, directory: Path) -> dict[str, Any]:
    """Download the results of a job that succeeded; what its `results.json` says.

    Raises:
        ModelResultError: they are missing or damaged.
        ClientError: they could not be fetched.
    """
    is_new = not directory.exists()
    client.download_artifacts(job_id, directory, below=OUTPUT)
    if is_new:
        _ignore(directory)
    return read_results(directory / FILE)


def _ignore(directory: Path) -> None:
    """Let git, and so the next submission of a model around it, leave a directory out."""
    try:
        (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    except FileNotFoundError:
        return  # the job left nothing
    except OSError as error:
        raise ModelResultError(f"Cannot write into {directory}: {error.strerror}.") from error


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
