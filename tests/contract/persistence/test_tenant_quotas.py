"""Quotas: counted exactly, as fast with any history, and kept in step with every change."""

import asyncio
import json
import multiprocessing
import sqlite3
import time
from contextlib import closing

import pytest

from ci_common.errors import QuotaExceededError, TooManyJobsError
from ci_common.job import Artifact, JobStatus, Package
from ci_common.ports.rows import Ending
from ci_common.ports.usage import Quotas, TenantUsage
from ci_persistence.database.database import Database
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite import usage as tenant_usages
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.submissions import SqliteJobSubmissions
from ci_persistence.sqlite.usage import COUNTED, SqliteTenantUsages
from support.jobs import NOON, a_job
from support.rows import PASSED

pytestmark = pytest.mark.anyio

MIB = 1 << 20


@pytest.fixture
def usages(rows):
    return SqliteTenantUsages(rows.database)


async def add(rows, quotas, tenant="acme", user="ann", size=0):
    job = a_job(tenant=tenant, user=user, package=Package("0" * 64, size))
    await rows.submissions.add(job, quotas)
    return job.job_id


async def finish(rows, job_id, log=0, artifacts=0):
    ending = Ending(PASSED, log, artifacts=(Artifact("a", artifacts, "0"),) if artifacts else ())
    assert await rows.transitions.claim(job_id)
    assert await rows.transitions.mark_running(job_id, NOON)
    assert await rows.transitions.finish(job_id, ending, NOON)


async def test_live_jobs_of_a_user(rows):
    quotas = Quotas(live_jobs_per_user=2)
    first = await add(rows, quotas)
    await add(rows, quotas)
    with pytest.raises(TooManyJobsError, match=r"'ann'.* have 2 .*2 are allowed"):
        await add(rows, quotas)
    with pytest.raises(TooManyJobsError):
        await rows.submissions.check_room("acme", "ann", quotas)
    await add(rows, quotas, user="bob")
    await add(rows, quotas, tenant="other")
    await finish(rows, first)
    await rows.submissions.check_room("acme", "ann", quotas)
    await add(rows, quotas)


async def test_live_jobs_of_a_tenant(rows):
    quotas = Quotas(live_jobs_per_tenant=2)
    running = await rows.add(tenant="acme", user="ann")
    await rows.transitions.claim(running)
    await add(rows, quotas, user="bob")
    with pytest.raises(
        TooManyJobsError, match=r"tenant 'acme' has 2 .*CI_MAX_LIVE_JOBS_PER_TENANT"
    ):
        await add(rows, quotas, user="cid")
    await add(rows, quotas, tenant="other")
    assert len(await rows.transitions.active()) == 3


async def test_a_refused_job_leaves_no_row(rows):
    with pytest.raises(QuotaExceededError):
        await add(rows, Quotas(stored_bytes_per_tenant=MIB), size=MIB + 1)
    assert await rows.transitions.active() == []


async def test_stored_bytes(rows, usages):
    quotas = Quotas(stored_bytes_per_tenant=10 * MIB)
    job_id = await add(rows, quotas, size=6 * MIB)
    with pytest.raises(QuotaExceededError, match=r"stores 6\.0 MiB .* has 5\.0 MiB; 10 MiB are"):
        await add(rows, quotas, size=5 * MIB)
    await add(rows, quotas, tenant="other", size=10 * MIB)
    await finish(rows, job_id, log=3 * MIB, artifacts=MIB)
    assert await usages.usage("acme") == [
        TenantUsage("acme", finished=1, log_bytes=3 * MIB, artifact_bytes=MIB)
    ]
    await add(rows, quotas, size=6 * MIB)
    with pytest.raises(QuotaExceededError, match=r"'acme' stores"):
        await rows.submissions.check_room("acme", "ann", quotas)


async def test_totals_follow_every_change(rows, usages):
    retention = SqliteJobRetention(rows.database, "me")
    jobs = [await add(rows, Quotas(), size=1000 + number) for number in range(3)]
    jobs.append(await add(rows, Quotas(), tenant="other", size=7))
    await check_totals(rows)
    for number, job_id in enumerate(jobs[1:]):
        await finish(rows, job_id, log=100 * (number + 1), artifacts=10)
        await check_totals(rows)
    await retention.log_compressed(jobs[1], 5)
    await check_totals(rows)
    assert await usages.usage() == [
        TenantUsage("acme", 1, 0, 0, 2, 1000, 205, 20),
        TenantUsage("other", 0, 0, 0, 1, 0, 300, 10),
    ]
    await retention.expire_artifacts(NOON.replace(year=2031), 10)
    await check_totals(rows)
    await retention.delete_jobs(jobs)
    await check_totals(rows)
    assert await usages.usage() == [TenantUsage("acme", 1, package_bytes=1000)]
    assert await usages.usage("nobody") == [TenantUsage("nobody")]


async def check_totals(rows):
    kept = await rows.database.fetch_all("SELECT * FROM tenant_totals")
    counted = {tuple(row) for row in await rows.database.fetch_all(COUNTED)}
    assert {tuple(row) for row in kept if any(tuple(row)[1:])} == counted


async def test_usage_by_status(rows, usages):
    for status in (JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING, JobStatus.FAILED):
        await rows.in_status(status)
    (usage,) = await usages.usage()
    assert (usage.queued, usage.initializing, usage.running, usage.finished) == (1, 1, 1, 1)
    assert usage.live == 3


HISTORY = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    INSERT INTO jobs (job_id, tenant, user, spec, package_sha256, package_size, status, created_at,
        ended_at, log_size)
    SELECT 'old-' || n, 'acme', 'ann', '{}', '', 1, 'completed', '2029', '2029', 1 FROM numbers
"""


async def test_the_length_of_the_history_does_not_matter(rows, usages):
    await rows.database.write(HISTORY)
    quotas = Quotas(1000, 1000, 1 << 40)
    for _ in range(10):
        await add(rows, quotas)
    began = time.process_time()
    for _ in range(20):
        await rows.submissions.check_room("acme", "ann", quotas)
        await usages.usage("acme")
        await usages.usage()
    assert time.process_time() - began < 1, "a scan of the history takes 10 ms and more each"
    assert (await usages.usage("acme"))[0].finished == 100_000


@pytest.mark.parametrize("name", ["LIVE_OF_TENANT", "LIVE_OF_USER", "STORED"])
async def test_checks_are_answered_by_an_index(rows, name):
    sql = getattr(tenant_usages, name)
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", ("x",) * sql.count("?"))
    for step in plan:
        assert step["detail"].startswith("SEARCH"), step["detail"]
        assert "COVERING INDEX" in step["detail"] or "PRIMARY KEY" in step["detail"]


def submit_many(path, quotas, count, results):
    """One worker: `count` submissions at once; how many of them were taken."""

    async def submit():
        database = Database(path)
        await database.open()
        try:
            submissions = SqliteJobSubmissions(database, ProcessJobSignals())
            jobs = [a_job(tenant="acme", user=f"user{number % 5}") for number in range(count)]
            return await asyncio.gather(
                *(submissions.add(job, quotas) for job in jobs), return_exceptions=True
            )
        finally:
            await database.close()

    answers = asyncio.run(submit())
    results.put([None if answer is None else type(answer).__name__ for answer in answers])


@pytest.mark.parametrize(
    ("quotas", "taken"),
    [
        (Quotas(live_jobs_per_tenant=10), 10),
        (Quotas(live_jobs_per_user=3), 15),
    ],
)
def test_it_is_exact_when_two_workers_add_jobs_at_once(tmp_path, quotas, taken):
    path = tmp_path / "ci.db"
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=submit_many, args=(path, quotas, 25, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    answers = [answer for _ in workers for answer in results.get(timeout=60)]
    for worker in workers:
        worker.join(30)
    assert answers.count(None) == taken
    assert answers.count("TooManyJobsError") == 50 - taken
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (taken,)
        assert json.loads(database.execute("SELECT spec FROM jobs").fetchone()[0])
