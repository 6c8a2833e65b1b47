"""Models of the calculation engine, as directories and as zips."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "engine/golden/term_life_100x10"

GOLDEN_FILES = {
    path.name: path.read_bytes() for path in GOLDEN.iterdir() if path.name != "expected.json"
}
"""The golden set: 100 policies, 10 scenarios, described by a livecalc.config.json."""

SMALL = {"model.toml": b'model = "term_life"\n'}
"""Enough for the server, which does not know what a model means. The job fails."""


def manifest(files, **changes):
    """The manifest of these files, as clients write it; `changes` replace an asset's entries."""
    assets = [
        {
            "relativePath": name,
            "hash": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "type": "file",
            **changes.get(name, {}),
        }
        for name, content in files.items()
    ]
    return json.dumps(
        {"version": "1.0", "createdAt": "2026-01-01T00:00:00Z", "assets": assets}
    ).encode()


def zipped(files, below=""):
    """A zip of the files, all of them below a directory if one is given."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{below}{name}", data)
    return content.getvalue()
