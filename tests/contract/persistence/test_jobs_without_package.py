"""Jobs without a package: NULL in their rows, no file, no bytes; and databases from before."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from ci_common.errors import QuotaExceededError
from ci_common.job import JobStatus, Package
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, JobQuery
from ci_common.ports.usage import Quotas
from ci_persistence.backup.inventory import Inventory
from ci_persistence.database.database import Database
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.sqlite.job_rows import COLUMNS, from_row
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.usage import COUNTED, SqliteTenantUsages
from support.backups import back_up, names_in, restore
from support.instances import Instance
from support.jobs import NOON, a_job
from support.rows import FAILED, PASSED, Rows

pytestmark = pytest.mark.anyio

STEP = next(number for number, script in enumerate(MIGRATIONS) if "nullable_sha256" in script)
"""The schema before jobs could be without a package."""

OLD_ROWS = """
INSERT INTO jobs (job_id, tenant, user, spec, package_sha256, package_size, status, created_at,
    started_at, ended_at, reason, message, exit_code, log_size, log_stored, artifacts_size,
    priority)
VALUES
    ('queued', 'acme', 'ann', '{spec}', 'aa', 7, 'queued', '{now}', NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, 0, 9),
    ('running', 'acme', 'bob', '{spec}', 'bb', 30, 'running', '{now}', '{now}', NULL, NULL, NULL,
        NULL, NULL, NULL, 0, 5),
    ('done', 'acme', 'ann', '{spec}', 'cc', 900, 'completed', '{now}', '{now}', '{now}', 'exit',
        'exited with code 0', 0, 100, 40, 8, 5),
    ('other', 'globex', 'eve', '{spec}', '', 0, 'failed', '{now}', '{now}', '{now}', 'lost', 'gone',
        NULL, 5, NULL, 0, 5);
INSERT INTO artifacts VALUES ('done', 'output/a', 8, 'dd');
"""
SPEC = (
    '{"command": ["true"], "name": "test", "image": null, "env": {}, "artifacts": [], '
    '"limits": {"network": "bridge"}}'
)


def former(path):
    """A database of the former schema, with rows of every kind."""
    with closing(sqlite3.connect(path)) as database, database:
        for step in MIGRATIONS[:STEP]:
            database.executescript(step)
        rows = OLD_ROWS.replace("{spec}", SPEC).replace("{now}", "2030-01-01T12:00:00.000Z")
        database.executescript(rows)
        database.execute(f"PRAGMA user_version={STEP}")
        return snapshot(database)


def snapshot(database):
    """Everything that a migration has to keep."""
    cells = database.execute(
        "SELECT seq, job_id, tenant, user, spec, package_sha256, package_size, status, created_at, "
        "started_at, ended_at, reason, message, exit_code, log_size, log_stored, artifacts_size, "
        "priority, attempt, log_dropped FROM jobs ORDER BY seq"
    )
    totals = database.execute(
        "SELECT tenant, finished_jobs, package_bytes, log_bytes, artifact_bytes "
        "FROM tenant_totals ORDER BY tenant"
    )
    finished = database.execute("SELECT * FROM finished_totals")
    artifacts = database.execute("SELECT job_id, path, size, sha256 FROM artifacts")
    events = database.execute(
        "SELECT seq, job_id, tenant, user, kind, at, facts FROM job_events ORDER BY seq"
    )
    names = database.execute(
        "SELECT type, name FROM sqlite_schema WHERE tbl_name = 'jobs' ORDER BY type, name"
    )
    found = (cells, totals, finished, artifacts, events, names)
    return [list(map(tuple, rows)) for rows in found]


async def counted_and_kept(database):
    """What the triggers keep, and the same the slow way."""
    counted = await database.fetch_all(f"{COUNTED} ORDER BY tenant")
    kept = await database.fetch_all("SELECT * FROM tenant_totals ORDER BY tenant")
    return [tuple(row) for row in counted], [tuple(row) for row in kept]


@pytest.fixture
async def migrated(tmp_path):
    path = tmp_path / "ci.db"
    before = former(path)
    rows = await Rows().open(path)
    yield rows, before
    await rows.database.close()


# ------------------------------------------------------------------ migration


async def test_rows_totals_indexes_and_triggers_outlive_the_migration(migrated, tmp_path):
    _, before = migrated
    with closing(sqlite3.connect(tmp_path / "ci.db")) as database:
        *facts, names = snapshot(database)
        assert facts == before[:-1]
        assert set(map(tuple, before[-1])) <= set(map(tuple, names))  # later steps add some
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    indexes = {name for kind, name in before[-1] if kind == "index"}
    triggers = {name for kind, name in before[-1] if kind == "trigger"}
    assert {"jobs_active", "jobs_of_user", "jobs_live_of_user", "jobs_ended"} <= indexes
    assert {"tenant_job_added", "tenant_job_removed", "tenant_job_changed"} <= triggers
    assert "finished_job_changed" in triggers


async def test_migrated_jobs_are_read_with_their_packages(migrated):
    rows, _ = migrated
    found = await rows.database.fetch_all(f"SELECT {COLUMNS} FROM jobs ORDER BY seq")
    packages = {row["job_id"]: from_row(row).package for row in found}
    assert packages == {
        "queued": Package("aa", 7),
        "running": Package("bb", 30),
        "done": Package("cc", 900),
        "other": Package("", 0),
    }


async def test_triggers_go_on_counting_after_the_migration(migrated):
    rows, _ = migrated
    none = await rows.add(tenant="acme", package=None)
    some = await rows.add(tenant="acme", package=Package("ee", 1000))
    usages = SqliteTenantUsages(rows.database)
    (acme,) = await usages.usage("acme")
    assert (acme.package_bytes, acme.log_bytes, acme.artifact_bytes) == (1037, 40, 8)
    for job_id in (none, some, "running"):
        assert await rows.transitions.finish(job_id, Ending(FAILED, 50), NOON)
    (acme,) = await usages.usage("acme")
    assert (acme.package_bytes, acme.log_bytes, acme.finished) == (7, 190, 4)
    assert await SqliteJobRetention(rows.database, "me").delete_jobs([none, "done"]) == 2
    assert await rows.database.fetch_all("SELECT * FROM artifacts") == []
    counted, kept = await counted_and_kept(rows.database)
    assert counted == kept


# ------------------------------------------------------------------ rows


async def test_a_job_without_a_package_is_stored_as_null(rows):
    job = a_job(package=None)
    await rows.submissions.add(job)
    assert await rows.submissions.get(job.job_id) == job
    stored = await rows.database.fetch_all(
        "SELECT package_sha256 IS NULL, package_size IS NULL FROM jobs"
    )
    assert [tuple(row) for row in stored] == [(1, 1)]


async def test_it_lives_and_ends_as_others_do(rows):
    first = await rows.add(package=None)
    second = await rows.add(package=None)
    assert await rows.transitions.claim(first)
    assert await rows.transitions.mark_running(first, NOON)
    assert await rows.transitions.retry(first, 1)
    assert await rows.transitions.mark_running(first, NOON)
    assert await rows.transitions.finish(first, Ending(PASSED, 3), NOON)
    assert (await rows.submissions.request_cancel(second, NOON)).cancel_requested_at == NOON
    listed = await rows.submissions.list_jobs(JobScope(), JobQuery())
    assert [(job.job_id, job.package) for job in listed] == [(second, None), (first, None)]
    assert [job.package for job in await rows.transitions.active()] == [None]


async def test_it_counts_as_a_job_and_as_no_bytes(rows):
    quotas = Quotas(live_jobs_per_tenant=3, stored_bytes_per_tenant=100)
    await rows.submissions.add(a_job(tenant="acme", package=None), quotas)
    await rows.submissions.add(a_job(tenant="acme", package=Package("aa", 100)), quotas)
    (usage,) = await SqliteTenantUsages(rows.database).usage("acme")
    assert (usage.queued, usage.package_bytes, usage.stored_bytes) == (2, 100, 100)
    with pytest.raises(QuotaExceededError):
        await rows.submissions.add(a_job(tenant="acme", package=None), quotas)
    counted, kept = await counted_and_kept(rows.database)
    assert counted == kept == [("acme", 0, 100, 0, 0, 0)]


async def test_a_tenant_without_any_package_is_counted(rows):
    await rows.add(tenant="acme", package=None)
    counted, kept = await counted_and_kept(rows.database)
    assert counted == kept == [("acme", 0, 0, 0, 0, 0)]


# ------------------------------------------------------------------ backups and examinations


def test_it_is_backed_up_and_comes_back_without_a_warning(source, target, tmp_path):
    queued = source.add(JobStatus.QUEUED, package=None)
    running = source.add(JobStatus.RUNNING, log=b"on it\n", package=None)
    with_package = source.add(JobStatus.QUEUED)
    summary = back_up(source, tmp_path / "b.tar")
    assert (summary.live_jobs, summary.warnings) == (3, [])
    packages = [name for name in names_in(tmp_path / "b.tar") if name.startswith("packages/")]
    assert packages == [f"packages/{with_package}.zip"]
    restored = restore(target, tmp_path / "b.tar")
    assert (restored.jobs, restored.live_jobs, restored.warnings) == (3, 3, [])
    assert target.execute("SELECT job_id FROM jobs WHERE package_sha256 IS NULL ORDER BY seq") == [
        (queued,),
        (running,),
    ]
    assert target.log(running) == b"on it\n"


def test_the_backup_still_tells_of_a_package_that_is_missing(source, target, tmp_path):
    source.add(JobStatus.QUEUED, package=None)
    lost = source.add(JobStatus.QUEUED)
    source.stores.packages.delete(lost)
    assert back_up(source, tmp_path / "b.tar").warnings == [f"job {lost} has no package"]
    assert restore(target, tmp_path / "b.tar").warnings == [f"job {lost} has no package"]


def test_a_database_of_the_former_schema_is_backed_up_and_restored(tmp_path, target):
    old = Instance(tmp_path / "old")
    old.directory.mkdir(exist_ok=True)
    old.database.unlink(missing_ok=True)
    former(old.database)
    for job_id in ("queued", "running"):
        old.execute("UPDATE jobs SET job_id = ? WHERE job_id = ?", a_job().job_id, job_id)
    old.execute("DELETE FROM jobs WHERE status IN ('completed', 'failed')")
    summary = back_up(old, tmp_path / "b.tar")
    assert (summary.live_jobs, len(summary.warnings)) == (2, 2)
    assert restore(target, tmp_path / "b.tar").live_jobs == 2


def test_the_inventory_knows_that_there_is_none(tmp_path):
    instance = Instance(tmp_path / "ci")
    job_id = instance.add(JobStatus.QUEUED, package=None)

    async def look():
        database = Database(instance.database)
        await database.open()
        try:
            inventory = Inventory(database, instance.stores, deep=True)
            return [stored async for stored in inventory.jobs()], await inventory.job(job_id)
        finally:
            await database.close()

    (listed,), alone = asyncio.run(look())
    assert listed == alone
    assert (listed.row.package_sha256, listed.package, listed.package_damage) == (None, False, "")
