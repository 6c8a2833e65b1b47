"""What is kept of finished jobs, and how: old ones are deleted, logs compressed; bit by bit."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ci_common.errors import LogCorruptError
from ci_common.job import Door
from ci_common.ports.artifacts import ArtifactWriter
from ci_common.ports.logs import LogKeeper
from ci_common.ports.packages import Packages
from ci_common.ports.retention import FileDeletion, FinishedJob, FinishedTotals, JobRetention
from ci_controller.housekeeping.kept_packages import KeptPackages
from ci_controller.housekeeping.settled_clock import SettledClock

logger = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
"""A job that ended just now is kept whatever count or budget say: a client that was cut off
must still be able to ask for its result."""

DELETION_DAYS = 7.0
DELETIONS = 10_000
"""How long, and for how many jobs, the event of their deletion is kept."""

_BATCH = 20
"""Jobs of one transaction; their files are deleted before the next."""

_ORPHAN_BATCH = 500
"""Directories that one query asks about."""

_REST_SECONDS = 5.0
"""After everything was done, nobody looks again for so long."""

_SETBACK_SECONDS = 60.0
"""After the disk refused, nothing is compressed for so long."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What the operator allows and wants. `None` keeps everything."""

    days: float | None = None
    jobs: int | None = None
    artifact_days: float | None = None
    max_bytes: int | None = None
    compress_seconds: float = 60.0
    min_free_bytes: int = 0
    door_seconds: Mapping[Door, float] = field(default_factory=dict)
    """How long finished jobs of a door are kept at most, whatever else is allowed."""
    package_days: float = 0.0
    package_bytes: int = 0
    """How long after their jobs' ends packages are kept, and how much of them."""

    @property
    def deletes_jobs(self) -> bool:
        """Whether any job may ever be deleted."""
        return not (self.days is None and self.jobs is None and self.max_bytes is None)


@dataclass(frozen=True, slots=True)
class WorkBudget:
    """What one call may do at most."""

    jobs: int = 200
    seconds: float = 0.2


def expired(
    oldest: Sequence[FinishedJob],
    totals: FinishedTotals,
    policy: RetentionPolicy,
    now: datetime,
    settled: datetime,
) -> list[str]:
    """Those of the oldest finished jobs that are to be deleted; the first that stays ends it.

    `settled` is the time by which jobs grow old, `now` that of the wall clock.
    """
    jobs, stored = totals.jobs, totals.stored_bytes
    found = []
    for job in oldest:
        age = (settled - job.ended_at).total_seconds()
        too_old = policy.days is not None and age > timedelta(days=policy.days).total_seconds()
        too_many = policy.jobs is not None and jobs > policy.jobs
        too_large = policy.max_bytes is not None and stored > policy.max_bytes
        # One that ended in the future did so before the clock was set back.
        in_grace = 0 <= (now - job.ended_at).total_seconds() < GRACE_SECONDS
        if not (too_old or (not in_grace and (too_many or too_large))):
            break
        found.append(job.job_id)
        jobs -= 1
        stored -= job.stored_bytes
    return found


class Retention:
    """Brings rows and files to what the policy asks for. One call at a time.

    Nothing is deleted that the policy does not allow, however full the disk is: then only
    compression is sooner, kept packages are dropped, and uploads are refused until there is room.
    """

    def __init__(
        self,
        rows: JobRetention,
        logs: LogKeeper,
        artifacts: ArtifactWriter,
        packages: Packages,
        policy: RetentionPolicy,
        free_bytes: Callable[[], int],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is the wall clock. What it says is believed as SettledClock does."""
        self._rows = rows
        self._logs = logs
        self._artifacts = artifacts
        self._packages = KeptPackages(rows, packages, policy.package_days, policy.package_bytes)
        self._policy = policy
        self._free_bytes = free_bytes
        self._wall = now
        self._now = SettledClock(now, clock)
        self._clock = clock
        self._rest_until = clock()
        self._compress_from = clock()
        self._stuck: frozenset[str] = frozenset()
        """Jobs whose files could not be deleted; tried again after the rest."""
        self._told_full = False

    async def run_once(self, budget: WorkBudget = WorkBudget()) -> int:
        """Do as much of what there is to do as the budget allows; returns of how many jobs that
        was. Costs next to nothing when that was all not long ago.

        Only for the process that holds the controller lease; without it no row changes, and
        files go only after their rows. One log that is compressed may overstay the time.
        """
        started = self._clock()
        done = 0
        while self._rest_until <= self._clock() < started + budget.seconds and done < budget.jobs:
            step = await self._step(min(_BATCH, budget.jobs - done))
            if not step:
                self._rest_until = self._clock() + _REST_SECONDS
                self._stuck = frozenset()
                self._packages.rest()
            done += step
        return done

    async def collect_orphans(self, older_than_seconds: float) -> int:
        """Delete artifacts that no job has any more, and that have lain there for so long, such as
        those of a run whose end was recorded by another one; returns of how many jobs.

        Costs a look at each job's directory.
        """
        stored = await asyncio.to_thread(self._artifacts.job_ids, older_than_seconds)
        done = 0
        for start in range(0, len(stored), _ORPHAN_BATCH):
            batch = stored[start : start + _ORPHAN_BATCH]
            for job_id in await self._rows.without_artifacts(batch):
                await asyncio.to_thread(self._artifacts.delete, job_id)
                logger.info("job %s: deleted unrecorded artifacts", job_id)
                done += 1
        return done

    async def sweep_packages(self, older_than_seconds: float) -> None:
        """Delete packages that a crash left, see `KeptPackages.sweep`."""
        await self._packages.sweep(older_than_seconds)

    async def _step(self, limit: int) -> int:
        return (
            await self._delete_files(limit)
            or await self._packages.delete_files(limit)
            or await self._expire_jobs(limit)
            or await self._expire_jobs_of_doors(limit)
            or await self._expire_artifacts(limit)
            or await self._packages.expire(limit, self._now(), need_room=self._disk_is_full())
            or await self._compress_one()
            or await self._forget_deletions(limit)
        )

    async def _delete_files(self, limit: int) -> int:
        noted = await self._rows.file_deletions(limit + len(self._stuck))
        wanted = [one for one in noted if one.job_id not in self._stuck][:limit]
        if not wanted:
            return 0
        deleted = await asyncio.to_thread(self._delete, wanted)
        self._stuck |= {one.job_id for one in wanted} - {one.job_id for one in deleted}
        if deleted:
            await self._rows.files_deleted(deleted)
        return len(wanted)

    def _delete(self, deletions: Sequence[FileDeletion]) -> list[FileDeletion]:
        done = []
        for one in deletions:
            try:
                self._artifacts.delete(one.job_id)
                if not one.artifacts_only:
                    self._logs.delete(one.job_id)
                done.append(one)
            except OSError as error:
                logger.warning("job %s: its files cannot be deleted: %s", one.job_id, error)
        return done

    async def _expire_jobs(self, limit: int) -> int:
        if not self._policy.deletes_jobs:
            return 0
        oldest = await self._rows.oldest(limit)
        totals = await self._rows.totals()
        job_ids = expired(oldest, totals, self._policy, self._wall(), self._now())
        deleted = await self._rows.delete_jobs(job_ids) if job_ids else 0
        if deleted:
            logger.info("retention: %d finished jobs deleted", deleted)
        return deleted

    async def _expire_jobs_of_doors(self, limit: int) -> int:
        for door, seconds in self._policy.door_seconds.items():
            ended_before = self._now() - timedelta(seconds=seconds)
            job_ids = await self._rows.expired_of_door(door, ended_before, limit)
            if job_ids and (deleted := await self._rows.delete_jobs(job_ids)):
                logger.info("retention: %d finished jobs of door %r deleted", deleted, door.value)
                return deleted
        return 0

    async def _expire_artifacts(self, limit: int) -> int:
        if self._policy.artifact_days is None:
            return 0
        ended_before = self._now() - timedelta(days=self._policy.artifact_days)
        count = await self._rows.expire_artifacts(ended_before, limit)
        if count:
            logger.info("retention: the artifacts of %d finished jobs deleted", count)
        return count

    async def _forget_deletions(self, limit: int) -> int:
        before = self._now() - timedelta(days=DELETION_DAYS)
        return await self._rows.forget_deletions(before, DELETIONS, limit)

    async def _compress_one(self) -> int:
        if self._clock() < self._compress_from:
            return 0
        wait = 0 if self._disk_is_full() else self._policy.compress_seconds
        found = await self._rows.uncompressed(self._now() - timedelta(seconds=wait))
        if found is None:
            return 0
        job_id, size = found
        try:
            stored = await asyncio.to_thread(self._logs.compress, job_id, size)
        except LogCorruptError as error:
            logger.error("job %s: its log is not compressed: %s", job_id, error)  # noqa: TRY400
            stored = size
        except OSError as error:
            logger.warning("job %s: its log cannot be compressed now: %s", job_id, error)
            self._compress_from = self._clock() + _SETBACK_SECONDS
            return 0
        return int(await self._rows.log_compressed(job_id, stored))

    def _disk_is_full(self) -> bool:
        full = self._free_bytes() < self._policy.min_free_bytes
        if full and not self._told_full:
            logger.warning(
                "the disk is nearly full; %s",
                "finished jobs are deleted as the retention settings allow"
                if self._policy.deletes_jobs or self._policy.door_seconds
                else "no retention setting allows finished jobs to be deleted (CI_RETENTION_DAYS, "
                "CI_RETENTION_JOBS, CI_MAX_DISK_MB)",
            )
        self._told_full = full
        return full
