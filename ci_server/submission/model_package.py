"""What the server checks of a model's package, without knowing what a model means.

The job checks the rest: its engine reads the model, and says what is wrong with it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_common.errors import InvalidPackageError, quoted
from ci_common.model_manifest import DESCRIPTIONS, MANIFEST, relative_path, sha256_of
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_common.zip_directory import ZipEntry
from ci_common.zip_reader import ZipReader

_MANIFEST_BYTES = 4 << 20
_MANIFEST_VALUES = 200_000
"""40,000 assets of four values each: more than fit into these bytes."""
_MOST_PROBLEMS = 20
_FROM_A_MAC = "__MACOSX"


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """What was found in the zip."""

    directory: str
    """Where the model is, from the top of the package: `.`, or one directory, as zips of a
    directory have it.
    """
    description: str
    """The file that describes it: one of `DESCRIPTIONS`."""


def read_model_package(path: Path) -> ModelPackage:
    """Of a zip that `check_package` has found to be a valid one.

    Raises InvalidPackageError, which tells everything that is missing or wrong at once.
    """
    with ZipReader(path.open("rb")) as archive:
        top = _Top()
        for entry in archive.entries():
            top.add(entry)
        package = top.package()
        prefix = "" if package.directory == "." else f"{package.directory}/"
        if manifest := top.known.get(prefix + MANIFEST):
            if manifest.size > _MANIFEST_BYTES:
                raise InvalidPackageError(f"{MANIFEST} is larger than {_MANIFEST_BYTES >> 20} MiB")
            _check_manifest(archive, archive.read(manifest), prefix)
    return package


@dataclass(slots=True)
class _Top:
    """What is at the top of a package, and in a directory there, of the files that matter."""

    known: dict[str, ZipEntry] = field(default_factory=dict)
    directory: str | None = None
    """The one directory in which everything is; `None` when that cannot be any more."""
    is_empty: bool = True

    def add(self, entry: ZipEntry) -> None:
        top, slash, rest = entry.path.partition("/")
        if top == _FROM_A_MAC:
            return
        is_below = bool(slash) or entry.is_directory
        if self.is_empty:
            self.directory, self.is_empty = (top if is_below else None), False
        elif top != self.directory:
            self.directory = None
        if not entry.is_directory and (rest or top) in (*DESCRIPTIONS, MANIFEST):
            self.known[entry.path] = entry

    def package(self) -> ModelPackage:
        for directory in (None, self.directory):
            prefix = f"{directory}/" if directory else ""
            found = [name for name in DESCRIPTIONS if prefix + name in self.known]
            if len(found) > 1:
                raise InvalidPackageError(
                    f"the package has both {' and '.join(found)}: a model must have only one "
                    "description"
                )
            if found:
                return ModelPackage(directory or ".", found[0])
        raise InvalidPackageError(
            f"the package has no {' or '.join(DESCRIPTIONS)} at its top: zip the model's directory"
        )


def _check_manifest(archive: ZipReader, content: bytes, prefix: str) -> None:
    problems: list[str] = []
    for problem in _manifest_problems(archive, content, prefix):
        if len(problems) == _MOST_PROBLEMS:
            problems.append("and more")
            break
        problems.append(problem)
    if problems:
        raise InvalidPackageError(f"{MANIFEST}: {'; '.join(problems)}")


def _manifest_problems(archive: ZipReader, content: bytes, prefix: str) -> Iterator[str]:
    try:
        manifest = strict_object(content.removeprefix(b"\xef\xbb\xbf"), _MANIFEST_VALUES)
    except AmbiguousJsonError as error:
        yield f"cannot be read: {error.located}"
        return
    assets = manifest.get("assets")
    if not isinstance(assets, list):
        yield "has no list of assets"
        return
    wanted = {name: prefix + relative_path(name) for asset in assets if (name := _name(asset))}
    contents = _Contents(archive, set(wanted.values()))
    for place, asset in enumerate(assets):
        name = _name(asset)
        if name is None:
            yield f"assets[{place}] has no relativePath"
        elif problem := _problem(asset, contents, wanted[name]):
            yield f"{quoted(name)} {problem}"


def _name(asset: Any) -> str | None:
    name = asset.get("relativePath") if isinstance(asset, dict) else None
    return name if isinstance(name, str) and name else None


def _problem(asset: Mapping[str, Any], contents: "_Contents", path: str) -> str | None:
    hashed, size = sha256_of(asset.get("hash")), asset.get("size")
    if hashed is None:
        return "has no SHA-256 as its hash"
    if path not in contents.sizes:
        return "is not in the package"
    if size is not None and size != contents.sizes[path]:
        return f"has {contents.sizes[path]} bytes, not the {quoted(str(size))} of the manifest"
    if contents.sha256(path) != hashed:
        return "does not match its hash"
    return None


class _Contents:
    """The files that a manifest names. Each is read once, however often it is named."""

    def __init__(self, archive: ZipReader, paths: set[str]) -> None:
        self._archive = archive
        self._entries = {
            entry.path: entry
            for entry in archive.entries()
            if not entry.is_directory and entry.path in paths
        }
        self.sizes = {path: entry.size for path, entry in self._entries.items()}
        self._hashes: dict[str, str] = {}

    def sha256(self, path: str) -> str:
        if path not in self._hashes:
            digest = hashlib.sha256()
            for piece in self._archive.content(self._entries[path]):
                digest.update(piece)
            self._hashes[path] = digest.hexdigest()
        return self._hashes[path]
