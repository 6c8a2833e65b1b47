"""What is deleted when it has been kept long enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ci_common.job import Door


@dataclass(frozen=True, slots=True)
class FinishedTotals:
    """What finished jobs take, all together."""

    jobs: int
    stored_bytes: int
    """Of their logs, as they are on disk, and of their artifacts."""


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What retention asks about a finished job."""

    job_id: str
    ended_at: datetime
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class KeptPackage:
    """A package whose job has ended."""

    job_id: str
    ended_at: datetime
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True)
class FileDeletion:
    """Files whose row is gone already."""

    job_id: str
    artifacts_only: bool
    """The job and its log stay."""


class JobRetention(Protocol):
    """The rows as retention sees them. Every method costs O(what it returns), however many
    finished jobs there are.

    Whatever changes rows is fenced by the controller lease like a transition: without it,
    nothing happens. Rows go first, and in the same transaction what files are to follow is
    noted, so that after a crash at any point the files are still known, and no row speaks of
    files that are gone.
    """

    async def totals(self) -> FinishedTotals:
        """What finished jobs take now."""

    async def oldest(self, limit: int) -> list[FinishedJob]:
        """Finished jobs, the one that ended first comes first."""

    async def expired_of_door(self, door: Door, ended_before: datetime, limit: int) -> list[str]:
        """Finished jobs that came through this door, but the native one, and ended before; the
        one that ended first comes first.
        """

    async def delete_jobs(self, job_ids: Sequence[str]) -> int:
        """Forget finished jobs and note their files; returns how many that were."""

    async def expire_artifacts(self, ended_before: datetime, limit: int) -> int:
        """Forget the artifacts of the jobs that ended first, and note their files; returns of
        how many jobs that were.
        """

    async def file_deletions(self, limit: int) -> list[FileDeletion]:
        """Files that were noted and not reported deleted yet."""

    async def files_deleted(self, deletions: Sequence[FileDeletion]) -> None:
        """The files are gone, for good."""

    async def without_artifacts(self, job_ids: Sequence[str]) -> list[str]:
        """Those of them that are no live job and have no artifacts on record: they never will."""

    async def oldest_packages(self, limit: int) -> list[KeptPackage]:
        """Kept packages, that of the job that ended first comes first."""

    async def kept_package_bytes(self) -> int:
        """Of all kept packages, as their jobs count them: some may share their bytes on disk.
        Costs O(tenants).
        """

    async def drop_packages(self, job_ids: Sequence[str]) -> int:
        """Say that these packages are not kept any more and note their files; returns how many.
        The jobs stay.
        """

    async def package_deletions(self, limit: int) -> list[str]:
        """The jobs of packages whose files were noted and not reported deleted yet. Whatever drops
        a package, or deletes its job, notes it.
        """

    async def packages_deleted(self, job_ids: Sequence[str]) -> None:
        """The files are gone, for good."""

    async def without_package(self, job_ids: Sequence[str]) -> list[str]:
        """Those of them that are no live job and keep no package: they never will."""

    async def uncompressed(self, ended_before: datetime) -> tuple[str, int] | None:
        """The job that ended first of those whose log is not compressed, and its log's size."""

    async def log_compressed(self, job_id: str, stored_bytes: int) -> bool:
        """The log takes so many bytes on disk now. Also for one that cannot be compressed."""

    async def forget_deletions(self, before: datetime, keep: int, limit: int) -> int:
        """Remove DELETED events older than `before`, or not among the newest `keep`: at most
        `limit`, oldest first. Returns how many. A reader that has not read them gets
        EventsGoneError.
        """
