"""The model package: a directory or a zip of one, and the files in it."""

import hashlib
import json
import lzma
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from engine.errors import ModelError, Problem, Problems
from engine.model.config import NAMES

MANIFEST = "manifest.json"
MAC_NOTES = "__MACOSX"  # which a Mac puts into its zips, beside the model
SCHEME = "local://"
OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
MAX_ENTRIES = 10_000
MAX_UNPACKED = 16 << 30
COPY_BYTES = 1 << 20
MAX_NAME = 255  # bytes of one part of a path, on the usual file systems
BROKEN_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def opened(path: Path, *, max_unpacked: int = MAX_UNPACKED) -> Iterator[Path]:
    """The model's directory, with its manifest verified; a zip is unpacked for the time being.

    Raises:
        ModelError: there is no model, the zip is not safe, or a hash is not the manifest's.
    """
    if path.is_dir():
        verify_manifest(path)
        yield path
    elif path.is_file():
        with path.open("rb") as file, unpacked(file, path.name, max_unpacked) as root:
            verify_manifest(root)
            yield root
    else:
        raise ModelError([Problem(str(path), "is not a directory or a zip")])


@contextmanager
def unpacked(file: BinaryIO, name: str, max_unpacked: int = MAX_UNPACKED) -> Iterator[Path]:
    """A zip's model in a temporary directory; one enclosing directory in the zip is accepted."""
    with tempfile.TemporaryDirectory(prefix="engine-model-") as directory:
        root = Path(directory)
        try:
            _unpack(file, name, root, max_unpacked)
        except BROKEN_ZIP as error:
            raise ModelError([Problem(name, f"is not a usable zip: {error}")]) from error
        inner = [path for path in root.iterdir() if path.name != MAC_NOTES]
        if len(inner) == 1 and inner[0].is_dir() and inner[0].name not in NAMES:
            root = inner[0]
        yield root


def _unpack(file: BinaryIO, name: str, root: Path, max_unpacked: int) -> None:
    """Write the files only: no links, nothing outside, no more than allowed."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(entries, name)
        room = max_unpacked
        for entry in entries:
            target = root / entry.filename
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("xb") as sink:
                room -= _copy(source, sink, room, name)


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    problems = Problems(name)
    if len(entries) > MAX_ENTRIES:
        problems.add(f"has more than {MAX_ENTRIES} entries")
    seen: set[str] = set()
    directories = {str(p) for e in entries for p in PurePosixPath(e.filename).parents}
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not _is_inside(entry.filename.rstrip("/")):
            problems.add("leads out of the package", value=entry.filename)
        elif kind and kind not in (stat.S_IFREG, stat.S_IFDIR):
            problems.add("is not a plain file", value=entry.filename)
        elif entry.filename.rstrip("/") in seen:
            problems.add("appears twice", value=entry.filename)
        elif not entry.is_dir() and str(PurePosixPath(entry.filename)) in directories:
            problems.add("is both a file and a directory", value=entry.filename)
        elif any(len(p.encode()) > MAX_NAME for p in PurePosixPath(entry.filename).parts):
            problems.add("has too long a name", value=entry.filename)
        seen.add(entry.filename.rstrip("/"))
    problems.raise_if_any()


def _copy(source: Any, sink: BinaryIO, room: int, name: str) -> int:
    """Copy, counting what really comes out; a header's size is only a claim."""
    copied = 0
    while block := _read(source):
        copied += len(block)
        if copied > room:
            raise ModelError([Problem(name, "unpacks to more than is allowed")])
        sink.write(block)
    return copied


def _read(source: Any) -> bytes:
    try:
        block: bytes = source.read(COPY_BYTES)
    except OSError as error:  # bzip2's way of saying that its data are damaged
        raise zipfile.BadZipFile(str(error)) from error
    return block


def _is_inside(reference: str) -> bool:
    path = PurePosixPath(reference)
    plain = "\\" not in reference and "\0" not in reference and not OTHER_SCHEME.match(reference)
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def resolve(root: Path, reference: str, said_in: str, key: str) -> Path:
    """The file that a model refers to, which is inside the model, links followed.

    Raises:
        ModelError: it is not, or not a file.
    """
    problems = Problems(said_in)
    relative = reference.removeprefix(SCHEME)
    path = root / relative
    if not _is_inside(relative):
        problems.add("is not a path inside the model", column=key, value=reference)
    elif not _exists(path):
        problems.add("does not exist", column=key, value=reference)
    elif not path.resolve().is_relative_to(root.resolve()):
        problems.add("is a link that leads out of the model", column=key, value=reference)
    elif not path.is_file():
        problems.add("is not a file", column=key, value=reference)
    problems.raise_if_any()
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no file has so long a name
        return False


def verify_manifest(root: Path) -> None:
    """Compare every asset of `manifest.json`, if there is one, with its size and SHA-256.

    Raises:
        ModelError: an asset is missing, is not what its hash says, or the manifest is malformed.
    """
    path = root / MANIFEST
    if not path.exists():
        return
    problems = Problems(MANIFEST)
    for place, asset in enumerate(_assets(resolve(root, MANIFEST, MANIFEST, ""), problems)):
        key = f"assets[{place}]"
        if not isinstance(asset, dict) or not isinstance(asset.get("relativePath"), str):
            problems.add("has no relativePath", column=key)
            continue
        try:
            _verify(resolve(root, asset["relativePath"], MANIFEST, key), asset, key, problems)
        except ModelError as error:
            problems.extend(error)
    problems.raise_if_any()


def _assets(path: Path, problems: Problems) -> list[Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        problems.add(f"cannot be read: {error}")
        problems.raise_if_any()
    if not isinstance(document, dict) or not isinstance(document.get("assets"), list):
        problems.add("has no list of assets", column="assets")
        problems.raise_if_any()
    assets: list[Any] = document["assets"]
    return assets


def _verify(path: Path, asset: dict[str, Any], key: str, problems: Problems) -> None:
    name, size, claimed = asset["relativePath"], asset.get("size"), asset.get("hash")
    if size is not None and size != path.stat().st_size:
        reason = f"has {path.stat().st_size} bytes, not the {size} of the manifest"
        problems.add(reason, column=key, value=name)
    if not isinstance(claimed, str):
        problems.add("has no hash", column=key, value=name)
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != claimed.lower().removeprefix("sha256:").removeprefix("sha256-"):
        reason = f"has the SHA-256 {actual}, not the manifest's {claimed}"
        problems.add(reason, column=key, value=name)
