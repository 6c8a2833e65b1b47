"""Artifacts as files (ports ArtifactWriter, ArtifactReader).

A job's artifacts are a directory of files that are named by the SHA-256 of their content. The
paths they had are in the database only: no path, however hostile, means anything to this disk.
"""

import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from ci_common.artifact_paths import is_artifact_path
from ci_common.errors import ArtifactNotFoundError, LeaseLostError
from ci_common.job import Artifact
from ci_common.ports.artifacts import ArtifactBatch, ArtifactReader, ArtifactWriter
from ci_persistence.files.data_directory import Check, explained, make_below, no_check
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.durable import sync_directory, sync_file, untouched


class FileArtifactStore(ArtifactWriter, ArtifactReader):
    """The artifacts of one data directory. Batches are written beside them and renamed."""

    def __init__(
        self, data_path: Path, reserve: DiskReserve | None = None, check: Check = no_check
    ) -> None:
        self._data_path = data_path
        self._check = check
        self._artifacts = data_path / "artifacts"
        self._staging = data_path / "staging" / "artifacts"
        for directory in (self._artifacts, self._staging):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reserve = reserve or DiskReserve(data_path, 0)

    @override
    def begin(self, job_id: str) -> "FileArtifactBatch":
        self._check()
        for former in self._staging.glob(f"{job_id}.*"):
            shutil.rmtree(former, ignore_errors=True)
        staged = self._staging / f"{job_id}.{uuid.uuid4()}"
        with explained(self._check):
            make_below(self._data_path, "artifacts")
            make_below(self._data_path, "staging", "artifacts")
            return FileArtifactBatch(staged, self._path(job_id), self._reserve, self._check)

    @override
    def delete(self, job_id: str) -> None:
        self._check()
        path = self._path(job_id)
        while path.exists():
            # Somebody else who deletes it, too, takes away what this one was about to.
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)
        with contextlib.suppress(FileNotFoundError):
            sync_directory(path.parent)

    def has(self, job_id: str) -> bool:
        """Whether there is anything of the job here."""
        return self._path(job_id).exists()

    @override
    def job_ids(self, older_than_seconds: float) -> list[str]:
        return [path.name for path in untouched(self._artifacts, "??/*", older_than_seconds)]

    @override
    def sweep_staging(self, older_than_seconds: float) -> None:
        for path in self.staged(older_than_seconds):
            shutil.rmtree(path, ignore_errors=True)

    def staged(self, older_than_seconds: float) -> list[Path]:
        """Batches that were begun so long ago, and never ended."""
        return list(untouched(self._staging, "*", older_than_seconds))

    @override
    def open(self, job_id: str, artifact: Artifact) -> BinaryIO:
        try:
            return (self._path(job_id) / artifact.sha256).open("rb")
        except FileNotFoundError:
            self._check()
            raise ArtifactNotFoundError(
                f"the artifact {artifact.path!r} is not stored any more"
            ) from None

    def _path(self, job_id: str) -> Path:
        # Two levels, so that a long history does not make one huge directory.
        return self._artifacts / job_id[:2] / job_id


class FileArtifactBatch(ArtifactBatch):
    """The artifacts of one job on their way in (port ArtifactBatch)."""

    def __init__(
        self, staged: Path, target: Path, reserve: DiskReserve, check: Check = no_check
    ) -> None:
        self._staged = staged
        self._target = target
        self._reserve = reserve
        self._check = check
        self._paths: set[str] = set()
        staged.mkdir(mode=0o700)

    @override
    def add(self, path: str, content: Iterator[bytes]) -> Artifact:
        if not is_artifact_path(path) or path in self._paths:
            raise ValueError(f"{path!r} cannot be the path of an artifact here")
        part = self._staged / "part"
        try:
            size, digest = self._write(part, content)
            with self._fenced():
                part.rename(self._staged / digest)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._paths.add(path)
        return Artifact(path, size, digest)

    @override
    def commit(self) -> None:
        with self._fenced():
            for path in self._staged.iterdir():
                sync_file(path)
            sync_directory(self._staged)
            # Raises FileNotFoundError if another controller has collected these artifacts since: on
            # a slow disk it may have recorded its own already, which must stay.
            self._staged.stat()
        shutil.rmtree(self._target, ignore_errors=True)
        if not self._paths:
            self.discard()
            return
        with self._fenced():
            self._target.parent.mkdir(exist_ok=True, mode=0o700)
            self._staged.rename(self._target)
        sync_directory(self._target.parent)
        sync_directory(self._target.parent.parent)

    @override
    def discard(self) -> None:
        shutil.rmtree(self._staged, ignore_errors=True)

    def _write(self, part: Path, content: Iterator[bytes]) -> tuple[int, str]:
        """Size and SHA-256 of what was written."""
        with self._fenced():
            file = part.open("wb", buffering=0)
        digest, size = hashlib.sha256(), 0
        with file:
            for piece in content:
                self._reserve.take(len(piece))
                remaining = memoryview(piece)
                while remaining:
                    remaining = remaining[file.write(remaining) :]
                digest.update(piece)
                size += len(piece)
        return size, digest.hexdigest()

    @contextlib.contextmanager
    def _fenced(self) -> Iterator[None]:
        """Only another batch of the job removes the directory that this one writes to, unless
        the whole data directory is gone.
        """
        try:
            with explained(self._check):
                yield
        except FileNotFoundError as error:
            raise LeaseLostError from error
