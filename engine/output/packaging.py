"""A model as one file that can be sent: a zip of the files it names, with a manifest."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from engine.errors import RequestError
from engine.model.assets import references
from engine.model.config import Config, load_document
from engine.model.model import Model, load_model
from engine.model.package import MANIFEST, SCHEME, resolve
from engine.output.results import check_place, write

VERSION = "1"
CONFIG = "config"
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say: the same model, the same bytes
MODE = 0o100644 << 16


def write_package(root: Path, target: Path) -> tuple[Model, dict[str, Any]]:
    """Check a model's directory, and write its package; the model, and the manifest.

    A manifest that is in the directory is not read: the files are taken as they are.

    Raises:
        ModelError: the model is not valid.
        RequestError: it is not in a directory.
        EngineError: the package cannot be written.
    """
    if root.is_file():
        raise RequestError(f"{root} is a file: give the directory of a model")
    check_place(target)
    model = load_model(root)
    files = dict(_files(root, model.config))
    assets = [_asset(kind, name, path) for (kind, name), path in sorted(files.items())]
    manifest = {"version": VERSION, "name": model.config.name, "assets": assets}
    paths = {name: path for (_, name), path in files.items()}
    write(target, lambda file: _write_zip(file, paths, manifest))
    return model, manifest


def _files(root: Path, config: Config) -> Iterator[tuple[tuple[str, str], Path]]:
    """What a model consists of: kind and name of each file, and where it is."""
    description = load_document(root)[1]
    for key, reference in ((CONFIG, description), *references(config)):
        name = PurePosixPath(reference.removeprefix(SCHEME)).as_posix()
        yield (key.partition(".")[0], name), resolve(root, reference, description, key)


def _asset(kind: str, name: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"relativePath": name, "type": kind, "size": path.stat().st_size, "hash": digest}


def _write_zip(file: BinaryIO, paths: dict[str, Path], manifest: dict[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        archive.writestr(_entry(MANIFEST), text)
        for name, path in sorted(paths.items()):
            with path.open("rb") as source, archive.open(_entry(name), "w") as sink:
                while block := source.read(1 << 20):
                    sink.write(block)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, NO_TIME)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, MODE
    entry.create_system = 3  # Unix, wherever it is made
    return entry
