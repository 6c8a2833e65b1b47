"""Jobs are counted from their events: each once, whoever counts and whatever is in the way."""

import errno
from datetime import timedelta

import pytest

from ci_common.job import JobStatus
from ci_common.metrics import added_up, lasting
from ci_persistence.files.metric_files import MetricFiles
from ci_persistence.sqlite import metric_facts
from ci_persistence.sqlite.metric_facts import SqliteMetricFacts
from ci_server.services import job_totals
from ci_server.services.job_totals import TENANT, JobTotalsCounter
from support.rows import Rows

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    yield rows
    await rows.database.close()


class Counting:
    """One of the processes that count."""

    def __init__(self, rows, path):
        self.facts = SqliteMetricFacts(rows.database)
        self.files = MetricFiles(path, lasting)
        self.counter = JobTotalsCounter(self.facts, self.files)

    async def count(self):
        async with self.files.scraping():
            return await self.counter.count_on(await self.facts.now())


def values(totals, drop=(TENANT,)):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in added_up([totals.metrics], drop)
        for sample in metric.samples
        if not sample.name.endswith("_bucket")
    }


async def test_each_event_is_counted_once_by_whoever_comes_first(rows, tmp_path):
    await rows.add()  # from before anybody counted
    one, two = Counting(rows, tmp_path), Counting(rows, tmp_path)
    assert ("ci_jobs_submitted_total",) not in values(await one.count())
    await rows.in_status(JobStatus.COMPLETED)
    await rows.in_status(JobStatus.FAILED)
    for process in (two, one, Counting(rows, tmp_path)):
        found = values(await process.count())
        assert found[("ci_jobs_submitted_total",)] == 2
        assert found[("ci_jobs_finished_total", "completed", "exit", "true")] == 1
        assert found[("ci_jobs_finished_total", "failed", "timeout", "false")] == 1
        assert found[("ci_job_queue_wait_seconds_count",)] == 1
        assert found[("ci_job_start_latency_seconds_count",)] == 1
        assert found[("ci_job_run_seconds_count", "completed")] == 1
        assert found[("ci_job_log_bytes_total",)] == 2


async def test_tenants_are_told_apart_only_on_request(rows, tmp_path):
    counting = Counting(rows, tmp_path)
    await counting.count()
    await rows.add(tenant="acme")
    await rows.add(tenant="globex")
    totals = await counting.count()
    assert values(totals)[("ci_jobs_submitted_total",)] == 2
    apart = values(totals, drop=())
    assert apart[("ci_jobs_submitted_total", "acme")] == 1
    assert apart[("ci_jobs_submitted_total", "globex")] == 1


async def test_of_many_events_each_scrape_counts_some(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(job_totals, "MOST_EVENTS", 4)
    monkeypatch.setattr(job_totals, "_BATCH", 2)
    counting = Counting(rows, tmp_path)
    await counting.count()
    for _ in range(6):
        await rows.add()
    last = (await counting.facts.now()).last_event
    found = [await counting.count() for _ in range(3)]
    assert [values(totals)[("ci_jobs_submitted_total",)] for totals in found] == [4, 6, 6]
    assert [last - totals.seq for totals in found] == [2, 0, 0]


async def test_what_cannot_be_kept_is_counted_again_and_not_twice(rows, tmp_path, monkeypatch):
    counting = Counting(rows, tmp_path)
    await counting.count()
    await rows.add()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(counting.files, "keep_totals", full)
        for _ in range(2):
            assert values(await counting.count())[("ci_jobs_submitted_total",)] == 1
    assert values(await counting.count())[("ci_jobs_submitted_total",)] == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event_stream SET stream = 'another'",
        "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'job_events'",
    ],
    ids=["a restored backup", "an older copy of the database"],
)
async def test_after_a_restore_what_was_counted_stays(rows, tmp_path, change):
    counting = Counting(rows, tmp_path)
    await counting.count()
    await rows.add()
    await counting.count()
    await rows.database.write("DELETE FROM job_events")
    await rows.database.write(change)
    await counting.count()
    await rows.add()
    assert values(await counting.count())[("ci_jobs_submitted_total",)] == 2


async def test_a_clock_that_was_set_back_makes_no_negative_time(rows, tmp_path):
    counting = Counting(rows, tmp_path)
    await counting.count()
    job_id = await rows.in_status(JobStatus.RUNNING)
    now = (await rows.submissions.get(job_id)).started_at - timedelta(hours=1)
    await rows.database.write(
        "UPDATE jobs SET status = 'completed', ended_at = ? WHERE job_id = ?",
        (now.isoformat(), job_id),
    )
    found = values(await counting.count())
    assert found[("ci_job_run_seconds_sum", "completed")] == 0


async def test_queries_read_indexes_only(rows):
    """However many jobs are kept: no table of jobs or events is gone through."""
    for sql, parameters in ((metric_facts.NOW, ()), (metric_facts.EVENTS, (0, 500))):
        plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
        steps = [row["detail"] for row in plan]
        scans = [step for step in steps if step.startswith("SCAN")]
        assert not [step for step in scans if step in ("SCAN jobs", "SCAN event", "SCAN earlier")]
        partial = ("jobs_live_of_user", "jobs_active")
        assert all(
            any(index in step for index in partial)
            for step in scans
            if step.startswith("SCAN jobs")
        )
