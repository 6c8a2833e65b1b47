"""The uploaded packages, from the upload to the workload."""

from pathlib import Path
from typing import BinaryIO, Protocol

from ci_common.job import Job, Package


class StagedUpload(Protocol):
    """An upload on its way in. Exactly one of `commit` and `discard` ends it."""

    path: Path
    """The file as it stands, for inspection after the last write."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, content: bytes) -> None:
        """Append to the file. Raises DiskFullError."""

    def commit(self, job_id: str) -> Package:
        """Make the file durable under the job's id; it survives a power cut afterwards.

        Raises DiskFullError.
        """

    def discard(self) -> None:
        """Remove the file; safe to repeat, also after `commit`, which it does not undo."""


class PackageIntake(Protocol):
    """The server's side of the package store."""

    def stage(self) -> StagedUpload:
        """Start an upload. Raises DiskFullError below the disk floor."""

    def share(self, job: Job, job_id: str) -> Package | None:
        """Make the package of `job` that of another job, too, durably: of one that is about to get
        its row. `None` when it is not here any more. Raises DiskFullError, also below the disk
        floor, and StorageUnavailableError.
        """

    def stored(self, job_id: str) -> Path:
        """Where a job's package is, if it has one, for inspection."""

    def delete(self, job_id: str) -> None:
        """Remove a committed package; safe to repeat."""

    def check_space(self) -> None:
        """Raise DiskFullError below the disk floor."""


class PackageSource(Protocol):
    """Where an executor gets a job's zip from. Whoever reads it checks the digest."""

    @property
    def sha256(self) -> str:
        """Of the zip as it was accepted, in lower-case hex."""

    @property
    def size(self) -> int:
        """Bytes of the zip as it was accepted."""

    def open(self) -> BinaryIO:
        """The zip as it is now: a regular file, to be closed by the caller. As often as needed,
        from any thread.

        Raises PackageCorruptError when it is gone, and StorageUnavailableError.
        """


class Packages(Protocol):
    """The controller's side of the package store."""

    def source(self, job: Job) -> PackageSource | None:
        """The job's zip, which is not looked at yet; `None` for a job without a package."""

    def delete(self, job_id: str) -> None:
        """Remove a job's zip; safe to repeat."""

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that have had a zip here for so long."""

    def sweep_staging(self, older_than_seconds: float) -> None:
        """Remove uploads that nobody has written to for so long."""
