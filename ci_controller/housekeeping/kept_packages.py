"""Packages that stay after their jobs' ends, so that the jobs can be run again."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from ci_common.ports.packages import Packages
from ci_common.ports.retention import JobRetention, KeptPackage

logger = logging.getLogger(__name__)

_BATCH = 500
"""Files that one query asks about."""


def expired(
    oldest: Sequence[KeptPackage],
    total_bytes: int,
    most_bytes: int,
    ended_before: datetime,
    *,
    need_room: bool,
) -> list[str]:
    """Those of the oldest kept packages that are to be dropped; the first that stays ends it.

    When the disk needs room, all of these are: what may be run again counts for less than what is
    to be run.
    """
    found = []
    for package in oldest:
        if not (need_room or package.ended_at <= ended_before or total_bytes > most_bytes):
            break
        found.append(package.job_id)
        total_bytes -= package.size
    return found


class KeptPackages:
    """Drops in rows first; what files are to follow, the rows note."""

    def __init__(
        self, rows: JobRetention, packages: Packages, days: float, most_bytes: int
    ) -> None:
        self._rows = rows
        self._packages = packages
        self._age = timedelta(days=days)
        self._most_bytes = most_bytes
        self._stuck: frozenset[str] = frozenset()
        """Jobs whose packages could not be deleted; tried again after `rest`."""

    def rest(self) -> None:
        """Everything else was done."""
        self._stuck = frozenset()

    async def delete_files(self, limit: int) -> int:
        """Delete the files of dropped packages; returns how many were tried."""
        noted = await self._rows.package_deletions(limit + len(self._stuck))
        wanted = [job_id for job_id in noted if job_id not in self._stuck][:limit]
        if not wanted:
            return 0
        deleted = await asyncio.to_thread(self._delete, wanted)
        self._stuck |= set(wanted) - set(deleted)
        if deleted:
            await self._rows.packages_deleted(deleted)
        return len(wanted)

    async def expire(self, limit: int, now: datetime, *, need_room: bool) -> int:
        """Drop packages that are too old or too much, or that the disk has no room for; returns
        how many.
        """
        oldest = await self._rows.oldest_packages(limit)
        if not oldest:
            return 0
        total = await self._rows.kept_package_bytes()
        before = now - self._age
        job_ids = expired(oldest, total, self._most_bytes, before, need_room=need_room)
        dropped = await self._rows.drop_packages(job_ids) if job_ids else 0
        if dropped:
            why = "; the disk is nearly full" if need_room else ""
            logger.info("retention: the packages of %d finished jobs deleted%s", dropped, why)
        return dropped

    async def sweep(self, older_than_seconds: float) -> None:
        """Delete packages that no job needs, and that have lain there for so long: of uploads that
        never came to a row, and of jobs whose end was recorded just before a crash.
        """
        stored = await asyncio.to_thread(self._packages.job_ids, older_than_seconds)
        for start in range(0, len(stored), _BATCH):
            for job_id in await self._rows.without_package(stored[start : start + _BATCH]):
                await asyncio.to_thread(self._packages.delete, job_id)

    def _delete(self, job_ids: Sequence[str]) -> list[str]:
        done = []
        for job_id in job_ids:
            try:
                self._packages.delete(job_id)
                done.append(job_id)
            except OSError as error:
                logger.warning("job %s: its package cannot be deleted: %s", job_id, error)
        return done
