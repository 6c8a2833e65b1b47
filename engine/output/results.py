"""The canonical result, its hash, and the files it is written to.

`results.json` is JSON with sorted keys, no spaces, and numbers in the shortest form that reads
back as the same double. `result_hash` is the SHA-256 of that text without `result_hash` itself,
and without `warnings`, which are words and not results.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import EngineError
from engine.numbers.arrays import Floats
from engine.numbers.distribution import Statistics

HASH, WARNINGS = "result_hash", "warnings"


def statistics_document(statistics: Statistics) -> dict[str, Any]:
    """Statistics as they are written; a percentile's key is p and its number, p99 or p99.5."""
    percentiles = {f"p{p:.15g}": value for p, value in statistics.percentiles.items()}
    return {
        "mean_npv": statistics.mean,
        "std_dev": statistics.std_dev,
        "percentiles": percentiles,
        "cte_95": statistics.cte_95,
        "min": statistics.least,
        "max": statistics.greatest,
    }


def result_document(
    statistics: Statistics,
    npv: Floats,
    policies: int,
    *,
    show_distribution: bool = True,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole result, with its hash, and with warnings if there are any."""
    document: dict[str, Any] = {
        "statistics": statistics_document(statistics),
        "scenario_count": len(npv),
        "policy_count": policies,
    }
    if show_distribution:
        document["distribution"] = npv.tolist()
    if warnings:
        document[WARNINGS] = list(warnings)
    return document | {HASH: result_hash(document)}


def result_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document without its hash and its warnings, as 64 hexadecimal digits."""
    content = {key: value for key, value in document.items() if key not in (HASH, WARNINGS)}
    return hashlib.sha256(canonical(content)).hexdigest()


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one text of a document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def check_place(path: Path) -> None:
    """Refuse a place for a file that `write` could not write to, before there is anything to write.

    No directory is made. The nearest one that exists gets a file without a name, for a moment.

    Raises:
        EngineError: the directory, or the nearest one above it, cannot be written to, or the
            file's name is that of a directory.
    """
    if path.is_dir():
        raise EngineError(f"cannot write {path}: it is a directory. Choose another path")
    above = next(place for place in path.absolute().parents if place.exists())
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        what = f"{above}: {error.strerror}"
        raise EngineError(f"cannot write {path} ({what}). Choose another path") from error


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document whole, or not at all."""
    write(path, lambda file: file.write(canonical(document) + b"\n"))


def write_array(path: Path, array: Floats) -> None:
    """Write an array in numpy's format, whole or not at all."""
    write(path, lambda file: np.save(file, array, allow_pickle=False))


def write(path: Path, content: Callable[[BinaryIO], object]) -> None:
    """Let `content` write to a new file beside `path`, and then put it in its place.

    Raises:
        EngineError: the disk is full, or may not be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                content(file)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EngineError(f"cannot write {path}: {error.strerror}") from error
