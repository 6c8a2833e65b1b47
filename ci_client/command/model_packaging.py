"""`ci model package`: the package of a model, in a file."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from ci_client.command import exit_codes
from ci_client.command.model_display import package_summary
from ci_client.command.model_run import directory_name
from ci_client.command.submitting import tell_of_packing
from ci_client.errors import UsageError
from ci_client.models import ModelPackage, create_model_package


def package(
    path: str, output: str | None, include: Sequence[str], exclude: Sequence[str], as_json: bool
) -> int:
    """Write a model's package into a file; the exit code."""
    place = Path(output or f"{directory_name(path)}.zip")
    if place.suffix != ".zip":
        raise UsageError(f"--output: the file name must end in .zip; this is {str(place)!r}.")
    with create_model_package(path, include, (*exclude, *_pattern_of(place, path))) as made:
        tell_of_packing(made.notes, made.project)
        _put(made, place)
        told = _package_facts(made, place)
    print(json.dumps(told, indent=2) if as_json else package_summary(told), flush=True)
    return exit_codes.PASSED


def _pattern_of(place: Path, directory: str) -> list[str]:
    """Keeps the package out of itself, where it is in the model's directory."""
    try:
        inside = place.resolve().relative_to(Path(directory).resolve())
    except ValueError:
        return []
    return ["/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", inside.as_posix())]


def _put(package: ModelPackage, place: Path) -> None:
    """Whole or not at all."""
    part = place.with_name(f".{uuid4().hex}.part")
    try:
        try:
            shutil.copyfile(package.path, part)
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write {place}: {error.strerror or error}.") from error


def _package_facts(package: ModelPackage, place: Path) -> dict[str, Any]:
    with package.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "path": str(place),
        "size": package.size,
        "sha256": sha256,
        "files": package.project.file_count,
        "createdAt": package.manifest["createdAt"],
        "packageHash": package.package_hash,
    }
