"""The manifest of a model's package: which files are in it, with their sizes and hashes."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MANIFEST = "manifest.json"
DESCRIPTIONS = ("model.toml", "livecalc.config.json")
"""A model has one of these at its top."""

MODEL_PACKAGE_BYTES = 100 << 20
"""The most of a package that is sent to the model-job API, whatever else the server accepts."""

_VERSION = "1.0"
_SCHEME = "local://"
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NOT_IN_PATHS = frozenset("\\\n\r")
_HASH = re.compile(r"(?:sha256[:-])?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of a model."""

    path: str
    """Relative to the model, with forward slashes."""
    sha256: str
    """In hexadecimal digits."""
    size: int
    """In bytes."""

    @property
    def kind(self) -> str:
        """What the manifest calls its `type`."""
        if self.path in DESCRIPTIONS:
            return "config"
        return "code" if self.path.endswith(".py") else "data"


def is_listable(path: str) -> bool:
    """Whether a manifest can name a file: the engine takes some names for addresses, and there is
    one line for each in the hash of all.
    """
    return _NOT_IN_PATHS.isdisjoint(path) and not _OTHER_SCHEME.match(path)


def package_hash(assets: Sequence[Asset]) -> str:
    """SHA-256 of what `sha256sum` prints of the files, sorted by bytes: of names and contents, and
    of nothing else.
    """
    lines = sorted(f"{asset.sha256}  {asset.path}\n" for asset in assets)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest_document(assets: Sequence[Asset], created_at: str) -> dict[str, Any]:
    """What `manifest.json` says."""
    listed = [
        {"relativePath": one.path, "hash": one.sha256, "size": one.size, "type": one.kind}
        for one in assets
    ]
    return {
        "version": _VERSION,
        "createdAt": created_at,
        "assets": listed,
        "packageHash": package_hash(assets),
    }


def manifest_bytes(document: dict[str, Any]) -> bytes:
    """The file, with an asset a line: the same for the same document."""
    assets = ",\n".join(json.dumps(asset, ensure_ascii=False) for asset in document["assets"])
    frame = json.dumps({**document, "assets": []})
    return frame.replace('"assets": []', f'"assets": [\n{assets}\n]', 1).encode() + b"\n"


def relative_path(name: str) -> str:
    """A `relativePath` without the scheme that some programs write."""
    return name.removeprefix(_SCHEME).removeprefix("./")


def sha256_of(claimed: object) -> str | None:
    """The digits of a `hash`, with or without `sha256:`; `None` when it is none."""
    found = _HASH.fullmatch(claimed) if isinstance(claimed, str) else None
    return found[1].lower() if found else None
