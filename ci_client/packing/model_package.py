"""A model's directory as one zip, with a manifest of what is in it.

The manifest is made of the zip's own content, so it says what is sent, whatever happens to the
files meanwhile. Nothing is written into the directory.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_client.errors import NotAModel, ProjectError, ProjectNotFound
from ci_client.packing.project_zip import ProjectZip, create_project_zip
from ci_client.packing.upload_limits import UploadLimits
from ci_common.model_manifest import (
    DESCRIPTIONS,
    MANIFEST,
    MODEL_PACKAGE_BYTES,
    Asset,
    is_listable,
    manifest_bytes,
    manifest_document,
    relative_path,
    sha256_of,
)

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

_CHUNK = 256 * 1024
_DEFLATED = 8
_MADE_ON_UNIX = 3
_MODE = stat.S_IFREG | 0o644
_NAMED = 3


class ModelPackage:
    """A packed model in a temporary file, which is removed as that of a `ProjectZip` is.

    It is path-like: `zipfile.ZipFile(package)` and `open(package, "rb")` work.
    """

    def __init__(
        self, project: ProjectZip, manifest: dict[str, Any], stale: Sequence[str] = ()
    ) -> None:
        self.project = project
        """What was packed: also how many files, and what was left out."""
        self.manifest = manifest
        """What the package's `manifest.json` says."""
        self.stale_manifest = bool(stale)
        """Whether the directory has a wrong manifest, for which the engine refuses it."""
        self.notes = (*project.notes, *stale)
        """What the user should know, a line each."""
        self.path = project.path
        """The zip file."""
        self.size = project.path.stat().st_size
        """Of the zip file, in bytes."""
        self.close = project.close
        """Remove the file. May be called again."""

    @property
    def package_hash(self) -> str:
        """That of the manifest: of the names and contents of its files."""
        return str(self.manifest["packageHash"])

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> "ModelPackage":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def create_model_package(
    path: str | os.PathLike[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limits: UploadLimits | None = None,
) -> ModelPackage:
    """Pack a model's directory, as `create_project_zip` does, and add a `manifest.json`.

    One that is in the directory is replaced in the package; `notes` tells if it was wrong. The
    package of a given tree is always the same, bytes and all.

    Raises:
        NotAModel: there is not exactly one description at the top of what is packed.
        ProjectNotFound, ProjectTooLarge, ProjectError, UsageError: see `create_project_zip`.
    """
    directory = os.fspath(path)
    check_model(directory)
    limits = _limits_of_models(limits or UploadLimits())
    project = create_project_zip(directory, include, (*exclude, f"/{MANIFEST}"), limits)
    try:
        manifest, sizes = _add_manifest(project.path, directory)
        limits.check_zip(project.path.stat().st_size, sizes)
        wrong = _wrong_assets(Path(directory, MANIFEST), manifest)
    except OSError as error:
        project.close()
        raise ProjectError(f"Cannot write the package: {error.strerror or error}.") from error
    except BaseException:
        project.close()
        raise
    return ModelPackage(project, manifest, _stale_note(wrong))


def _limits_of_models(limits: UploadLimits) -> UploadLimits:
    most = limits.max_upload_bytes
    packed = MODEL_PACKAGE_BYTES if most is None else min(most, MODEL_PACKAGE_BYTES)
    return UploadLimits(limits.max_files, limits.max_unpacked_bytes, packed)


def check_model(directory: str) -> None:
    """Raise ProjectNotFound or NotAModel for what is none at the first look."""
    if not os.path.isdir(directory):
        what = "is a file" if os.path.exists(directory) else "does not exist"
        raise ProjectNotFound(f"{directory} {what}; name the directory of a model.")
    if any(os.path.lexists(os.path.join(directory, name)) for name in DESCRIPTIONS):
        return
    below = sorted({str(file.parent) for name in DESCRIPTIONS for file in _below(directory, name)})
    raise NotAModel(
        f"{directory} is not a model: it has neither {' nor '.join(DESCRIPTIONS)}."
        + (f" Did you mean {' or '.join(below[:_NAMED])}?" if below else "")
    )


def _below(directory: str, name: str) -> list[Path]:
    with suppress(OSError):
        return list(Path(directory).glob(f"[!.]*/{name}"))
    return []


def _check_description(names: Sequence[str], directory: str) -> None:
    found = [name for name in DESCRIPTIONS if name in names]
    if len(found) > 1:
        raise NotAModel(
            f"{directory} has both {' and '.join(found)}, but a model must have exactly one "
            "description. Remove one of them, or leave it out with --exclude."
        )
    if not found:
        present = [name for name in DESCRIPTIONS if os.path.lexists(Path(directory, name))]
        there = (present or DESCRIPTIONS)[0]
        raise NotAModel(
            f"{there} in {directory} would not be sent: it is excluded or git-ignored, or a link "
            f"that points outside the directory. --include {there} includes an ignored file."
        )


def _add_manifest(path: Path, directory: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Add it to the zip; what it says, and the sizes of all files."""
    from zipfile import ZipFile

    with ZipFile(path, "a") as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check_description([entry.filename for entry in entries], directory)
        newest = max(entry.date_time for entry in entries)
        assets = [_asset(archive, entry) for entry in entries if _is_asset(entry)]
        moment = datetime(*newest, tzinfo=UTC)
        manifest = manifest_document(assets, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        archive.writestr(_header(newest), manifest_bytes(manifest))
        return manifest, {entry.filename: entry.file_size for entry in entries}


def _is_asset(entry: "ZipInfo") -> bool:
    """Not a link: what it leads to is an asset. Nor what git may write before the engine reads."""
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    return not is_link and not entry.filename.startswith(".git/") and is_listable(entry.filename)


def _asset(archive: "ZipFile", entry: "ZipInfo") -> Asset:
    digest = hashlib.sha256()
    with archive.open(entry) as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return Asset(entry.filename, digest.hexdigest(), entry.file_size)


def _header(moment: tuple[int, int, int, int, int, int]) -> "ZipInfo":
    from zipfile import ZipInfo

    info = ZipInfo(MANIFEST, moment)
    info.create_system = _MADE_ON_UNIX
    info.external_attr = _MODE << 16
    info.compress_type = _DEFLATED
    return info


def _wrong_assets(path: Path, manifest: Mapping[str, Any]) -> list[str] | None:
    """What a manifest in the directory says wrongly; `None` when it cannot be read."""
    try:
        assets = json.loads(path.read_text(encoding="utf-8-sig"))["assets"]
        claimed = {relative_path(one["relativePath"]): sha256_of(one.get("hash")) for one in assets}
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    actual = {asset["relativePath"]: asset["hash"] for asset in manifest["assets"]}
    return [name for name, one in claimed.items() if one is None or actual.get(name) != one]


def _stale_note(wrong: Sequence[str] | None) -> list[str]:
    if wrong is None:
        return [f"{MANIFEST} of the directory cannot be read; the package gets a new one"]
    if not wrong:
        return []
    named = ", ".join(map(repr, wrong[:_NAMED]))
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return [
        f"{MANIFEST} of the directory does not match its files ({named}{more}); the package gets "
        "a new one. If you did not change these files, they may be damaged"
    ]
