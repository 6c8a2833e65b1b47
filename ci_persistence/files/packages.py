"""Uploaded zips as files (ports PackageIntake, Packages)."""

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from ci_common.errors import (
    DataDirectoryUnavailableError,
    DiskFullError,
    PackageCorruptError,
)
from ci_common.job import Job, Package
from ci_common.ports.packages import PackageIntake, Packages, StagedUpload
from ci_persistence.files.data_directory import Check, explained, make_below, no_check
from ci_persistence.files.durable import link_or_copy, sync_directory, untouched

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FilePackageStore(PackageIntake, Packages):
    """The packages of one data directory. Uploads are written beside them and renamed."""

    def __init__(self, data_path: Path, min_free_bytes: int, check: Check = no_check) -> None:
        self._data_path = data_path
        self._check = check
        self._packages = data_path / "packages"
        self._staging = data_path / "staging"
        for directory in (self._packages, self._staging):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._min_free_bytes = min_free_bytes

    @override
    def check_space(self) -> None:
        self._check()
        with explained(self._check):
            free = shutil.disk_usage(self._data_path).free
        if free < self._min_free_bytes:
            raise DiskFullError(
                f"the server's disk is nearly full: {free >> 20} MiB are free and it keeps "
                f"{self._min_free_bytes >> 20} MiB in reserve; free space there, or let finished "
                "jobs be deleted (CI_RETENTION_DAYS, CI_MAX_DISK_MB), and try again"
            )

    @override
    def stage(self) -> "StagedFile":
        self.check_space()
        with explained(self._check):
            for name in (self._packages.name, self._staging.name):
                make_below(self._data_path, name)
            path = self._staging / f"{uuid.uuid4()}.part"
            return StagedFile(path, self._packages, self._check)

    @override
    def source(self, job: Job) -> "StoredPackage | None":
        package = job.package
        if package is None:
            return None
        return StoredPackage(package.sha256, package.size, self._path(job.job_id), self._check)

    @override
    def share(self, job: Job, job_id: str) -> Package | None:
        self.check_space()
        source, target = self._path(job.job_id), self._path(job_id)
        try:
            with explained(self._check), _disk_full_told():
                # Links have one time of last change. Without a new one the new name would seem to
                # have waited for its row for long, and could be swept.
                os.utime(source)
                link_or_copy(source, target, self._staging / f"{uuid.uuid4()}.part")
                sync_directory(self._packages)
        except FileNotFoundError:
            self._check()
            return None
        self._check()
        return job.package

    @override
    def stored(self, job_id: str) -> Path:
        return self._path(job_id)

    def open(self, job_id: str) -> BinaryIO | None:
        """The job's zip as it is, to be closed by the caller; `None` when there is none."""
        try:
            return self._path(job_id).open("rb")
        except FileNotFoundError:
            return None

    @override
    def delete(self, job_id: str) -> None:
        self._path(job_id).unlink(missing_ok=True)

    @override
    def job_ids(self, older_than_seconds: float) -> list[str]:
        self._check()
        return [path.stem for path in untouched(self._packages, "*.zip", older_than_seconds)]

    @override
    def sweep_staging(self, older_than_seconds: float) -> None:
        for path in self.staged(older_than_seconds):
            path.unlink(missing_ok=True)

    def staged(self, older_than_seconds: float) -> list[Path]:
        """Uploads on their way in that nobody has written to for so long."""
        return list(untouched(self._staging, "*.part", older_than_seconds))

    def _path(self, job_id: str) -> Path:
        return self._packages / f"{job_id}.zip"


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A committed package (port PackageSource, whose properties would be defaults of fields)."""

    sha256: str
    size: int
    path: Path
    check: Check
    """Raises StorageUnavailableError when the data directory is not the one that it was."""

    def open(self) -> BinaryIO:
        """The zip as it is now. Raises PackageCorruptError, StorageUnavailableError."""
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            self.check()
            raise PackageCorruptError(
                "the stored upload is gone; submit the project again"
            ) from None


class StagedFile(StagedUpload):
    """An upload on its way in (port StagedUpload)."""

    def __init__(self, path: Path, packages: Path, check: Check) -> None:
        self.path = path
        self._packages = packages
        self._check = check
        self._file = path.open("xb", buffering=0)
        path.chmod(0o600)
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def write(self, content: bytes) -> None:
        remaining = memoryview(content)
        with explained(self._check), _disk_full_told():
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        self._digest.update(content)
        self._size += len(content)

    @override
    def commit(self, job_id: str) -> Package:
        with explained(self._check), _disk_full_told():
            os.fsync(self._file.fileno())
            self._file.close()
            try:
                self.path.rename(self._packages / f"{job_id}.zip")
            except FileNotFoundError:
                self._check()
                raise DataDirectoryUnavailableError(
                    "the upload was deleted from the server's data directory while it was "
                    "received; send it again"
                ) from None
            sync_directory(self._packages)
        self._check()  # or it is durable in a directory that is not ours any more
        return Package(sha256=self._digest.hexdigest(), size=self._size)

    @override
    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise DiskFullError(
            f"the server's disk filled up during the upload ({error.strerror}); free space there "
            "and try again"
        ) from error
