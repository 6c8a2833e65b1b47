"""The files that a model is made of, and one hash of all of them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.model.config import NAMES, Config
from engine.model.package import SCHEME, resolve


@dataclass(frozen=True)
class Assets:
    """What a run works on."""

    sha256: str
    """Of the lines `sha256sum` writes of the files, by their paths in the model, sorted."""
    count: int


def assets_of(root: Path, config: Config) -> Assets:
    """Read every file of a model once.

    Raises:
        ModelError: a file is not there, or not inside the model.
        OSError: a file cannot be read.
    """
    described_in = next((name for name in NAMES if (root / name).is_file()), NAMES[0])
    lines = set()
    for key, reference in (("", described_in), *_references(config)):
        path = resolve(root, reference, described_in, key)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.add(f"{digest}  {reference.removeprefix(SCHEME)}\n")
    return Assets(hashlib.sha256("".join(sorted(lines)).encode()).hexdigest(), len(lines))


def _references(config: Config) -> Iterator[tuple[str, str]]:
    """The key in the description, and what it says, of each file beside the description."""
    for name in config.policies:
        yield "policies", name
    for table, name in config.assumptions.items():
        yield f"assumptions.{table}", name
    if config.scenarios.file is not None:
        yield "scenarios.file", config.scenarios.file
    if config.hooks is not None:
        yield "hooks", config.hooks
