"""Packages that stay after their jobs' ends: how long, how many, and what they make room for."""

import errno
import os
from datetime import timedelta

import pytest

from ci_common.errors import QuotaExceededError
from ci_common.job import JobStatus
from ci_common.ports.rows import Ending
from ci_common.ports.usage import Quotas
from ci_controller.housekeeping.kept_packages import KeptPackages
from ci_persistence.files import durable
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.sqlite.retention import OLDEST_PACKAGES, SqliteJobRetention
from ci_persistence.sqlite.totals_check import totals_are_wrong
from ci_persistence.sqlite.usage import DROPPED_FOR_ROOM, SqliteTenantUsages
from support.jobs import NOON, a_job
from support.rows import PASSED

pytestmark = pytest.mark.anyio

SIZE = 100
DAY = timedelta(days=1)


class World:
    """Rows, packages, and what keeps them for three days and 350 bytes."""

    def __init__(self, rows, path):
        self.rows = rows
        self.path = path / "packages"
        self.packages = FilePackageStore(path, 0)
        self.retention = SqliteJobRetention(rows.database, "me")
        self.kept = KeptPackages(self.retention, self.packages, days=3, most_bytes=350)

    async def submitted(self, quotas=None, tenant="acme"):
        job = a_job(tenant=tenant)
        package = self.stored(job.job_id)
        job = a_job(job_id=job.job_id, tenant=tenant, package=package)
        await self.rows.submissions.add(job, quotas or Quotas())
        return job.job_id

    def stored(self, job_id):
        staged = self.packages.stage()
        staged.write(os.urandom(SIZE))
        return staged.commit(job_id)

    async def ended(self, days_ago=0.0, keep=True, tenant="acme"):
        job_id = await self.submitted(tenant=tenant)
        at = NOON - days_ago * DAY
        ending = Ending(PASSED, 0)
        assert await self.rows.transitions.claim(job_id)
        assert await self.rows.transitions.mark_running(job_id, at)
        assert await self.rows.transitions.finish(job_id, ending, at, keep_package=keep)
        return job_id

    async def work(self, now=NOON, need_room=False):
        """Until there is nothing to do."""
        while await self.kept.delete_files(20) or await self.kept.expire(
            20, now, need_room=need_room
        ):
            pass

    def files(self):
        return {path.stem for path in self.path.iterdir()}

    async def used(self, tenant="acme"):
        (usage,) = await SqliteTenantUsages(self.rows.database).usage(tenant)
        assert not await totals_are_wrong(self.rows.database)
        return usage.package_bytes


@pytest.fixture
def world(rows, tmp_path):
    return World(rows, tmp_path / "data")


async def test_a_package_is_kept_for_so_long(world):
    old, young = await world.ended(days_ago=3), await world.ended(days_ago=2.9)
    await world.work()
    assert world.files() == {young}
    job = await world.rows.submissions.get(young)
    assert (job.package_kept, job.has_package) == (True, True)
    job = await world.rows.submissions.get(old)
    assert (job.package_kept, job.has_package, job.package.size) == (False, False, SIZE)
    assert await world.used() == SIZE
    await world.work(NOON + DAY)
    assert (world.files(), await world.used()) == (set(), 0)
    assert await world.retention.package_deletions(9) == []


async def test_the_oldest_go_first_when_they_are_too_much(world):
    first, *rest = [await world.ended(days_ago=day) for day in (2, 1, 0.5, 0.1)]
    live = await world.submitted()
    await world.work()
    assert world.files() == {*rest, live}
    await world.work(need_room=True)  # the disk is full: what is to be run stays
    assert world.files() == {live}
    assert first not in world.files()


async def test_nothing_is_kept_of_a_job_without_a_package_or_when_nothing_is_to_be(world):
    job_id = await world.rows.add(package=None)
    await world.rows.transitions.finish(job_id, Ending(PASSED, 0), NOON, keep_package=True)
    assert not (await world.rows.submissions.get(job_id)).package_kept
    job = await world.rows.submissions.get(await world.ended(keep=False))
    assert (job.status, job.package_kept, job.has_package) == (JobStatus.COMPLETED, False, False)
    assert await world.used() == 0


async def test_a_deleted_jobs_package_goes_with_it(world):
    job_id = await world.ended()
    assert await world.retention.delete_jobs([job_id]) == 1
    assert await world.retention.package_deletions(9) == [job_id]
    await world.work()
    assert (world.files(), await world.used()) == (set(), 0)


async def test_without_the_lease_nothing_is_dropped(world):
    job_id = await world.ended(days_ago=9)
    world.kept = KeptPackages(
        SqliteJobRetention(world.rows.database, "another"), world.packages, 3, 350
    )
    assert await world.kept.expire(20, NOON, need_room=True) == 0
    assert world.files() == {job_id}


async def test_a_file_that_cannot_be_deleted_does_not_hold_up_the_others(world, monkeypatch):
    stuck, other = await world.ended(days_ago=5), await world.ended(days_ago=4)
    delete = world.packages.delete

    def refuse(job_id):
        if job_id == stuck:
            raise PermissionError(errno.EACCES, "no")
        delete(job_id)

    with monkeypatch.context() as patch:
        patch.setattr(world.packages, "delete", refuse)
        await world.work()
    assert world.files() == {stuck}
    world.kept.rest()
    await world.work()
    assert world.files() == set()
    assert other not in world.files()


# ------------------------------------------------------------------ quotas


async def test_kept_packages_make_room_for_jobs_and_no_more_than_needed(world):
    kept = [await world.ended(days_ago=day) for day in (2, 1, 0.5)]
    others = await world.ended(days_ago=9, tenant="globex")
    quotas = Quotas(stored_bytes_per_tenant=3 * SIZE + 50)
    await world.rows.submissions.check_room("acme", "ann", quotas)
    live = await world.submitted(quotas)
    assert await world.retention.package_deletions(9) == kept[:1]
    live = [live, await world.submitted(quotas), await world.submitted(quotas)]
    assert sorted(await world.retention.package_deletions(9)) == sorted(kept)
    assert await world.used() == 3 * SIZE
    with pytest.raises(QuotaExceededError):
        await world.submitted(quotas)
    await world.kept.delete_files(20)
    assert world.files() >= {*live, others}
    assert not world.files() & {*kept}


async def test_what_would_not_be_enough_is_not_dropped(world):
    kept = await world.ended()
    await world.submitted()
    quotas = Quotas(stored_bytes_per_tenant=SIZE + 50)
    with pytest.raises(QuotaExceededError, match=r"stores 0.0 MiB"):
        await world.submitted(quotas)
    assert (await world.rows.submissions.get(kept)).package_kept


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("links", [True, False])
async def test_a_shared_package_is_not_swept_before_its_row(world, monkeypatch, links):
    if not links:

        def refuse(*_paths):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(durable.os, "link", refuse)
    source = await world.ended()
    path = world.path / f"{source}.zip"
    os.utime(path, (0, 0))
    job = await world.rows.submissions.get(source)
    assert world.packages.share(job, "new") == job.package
    await world.kept.sweep(3600)
    assert world.files() == {source, "new"}
    new = world.path / "new.zip"
    assert (new.read_bytes(), new.samefile(path)) == (path.read_bytes(), links)
    assert (new.stat().st_mode & 0o777, [*(world.path.parent / "staging").iterdir()]) == (0o600, [])
    os.utime(new, (0, 0))
    await world.kept.sweep(3600)  # nobody ever made a row
    assert world.files() == {source}
    world.packages.delete(source)
    assert world.packages.share(job, "newer") is None
    assert world.files() == set()


async def test_only_what_no_job_needs_is_swept(world):
    live, kept = await world.submitted(), await world.ended()
    cut_off = await world.ended(keep=False)
    world.stored("without-row")
    assert world.files() == {live, kept, cut_off, "without-row"}
    await world.kept.sweep(3600)
    assert len(world.files()) == 4
    await world.kept.sweep(0)
    assert world.files() == {live, kept}


async def test_looking_for_the_oldest_costs_no_scan(world):
    for sql, parameters in ((OLDEST_PACKAGES, (1,)), (DROPPED_FOR_ROOM, ("acme", 1))):
        rows = await world.rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
        told = " ".join(row["detail"] for row in rows)
        assert "jobs_with_kept_package" in told, told
        assert "SCAN jobs " not in told.replace("SCAN jobs USING INDEX", ""), told
