"""Runs: a row with each, written with its job or not at all, read with what the job says."""

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import TooManyJobsError
from ci_common.job import Door, JobStatus, Outcome, Reason, Visibility
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, ProgressReport
from ci_common.ports.runs import RunPage
from ci_common.ports.usage import Quotas
from ci_common.progress import Progress
from ci_common.run import RunRequest, RunStatus, new_run_id
from ci_persistence.sqlite.retention import SqliteJobRetention
from ci_persistence.sqlite.runs import SqliteRuns
from support.jobs import NOON, a_job
from support.rows import FAILED, PASSED

pytestmark = pytest.mark.anyio

ALL = JobScope()
EXITED_1 = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 1", 1)


@pytest.fixture
def runs(rows):
    return SqliteRuns(rows.database)


def request(**facts):
    return RunRequest(
        **{"run_id": new_run_id(), "user_email": "ann@x.example", "config": {"query": "é\u2028"}}
        | facts
    )


async def add(rows, asked=None, **job):
    asked = asked or request()
    added = a_job(door=Door.RUNS, package=None, **job)
    await rows.submissions.add(added, run=asked)
    return asked.run_id, added.job_id


async def run_in(rows, status, outcome=None, *, cancel=False):
    run_id, job_id = await add(rows)
    if status is not JobStatus.QUEUED:
        assert await rows.transitions.claim(job_id)
    if status not in (JobStatus.QUEUED, JobStatus.INITIALIZING):
        assert await rows.transitions.mark_running(job_id, NOON)
    if cancel:
        await rows.submissions.request_cancel(job_id, NOON)
    if outcome is not None:
        assert await rows.transitions.finish(job_id, Ending(outcome, 1), NOON)
    return run_id


async def test_a_run_is_read_as_it_was_written(rows, runs):
    asked = request(control_strategy_effective="query_as_control", control_cells_available=0)
    run_id, job_id = await add(rows, asked, tenant="acme", user="ann")
    found = await runs.get(run_id)
    assert found.request == asked
    assert found.job == await rows.submissions.get(job_id)
    assert (found.progress, found.progress_at, found.status) == (None, None, RunStatus.PENDING)
    assert await runs.get("run_000000000000") is None
    assert await runs.get(job_id) is None


async def test_a_run_has_what_it_reported_last(rows, runs):
    run_id, job_id = await add(rows)
    await rows.transitions.claim(job_id)
    await rows.transitions.mark_running(job_id, NOON)
    scored = Progress(4, 17, "evaluation", 1, 6.5, {"a": 6.5}, "so far")
    later = NOON + timedelta(seconds=5)
    for progress, at in ((scored, NOON), (Progress(5, 17, "inference", 2), later)):
        await rows.transitions.report_progress([ProgressReport(job_id, 1, progress)], at)
    found = await runs.get(run_id)
    assert found.progress == Progress(5, 17, "inference", 2, 6.5, {"a": 6.5})
    assert found.progress_at == later
    assert found.status is RunStatus.RUNNING
    assert await rows.transitions.finish(job_id, Ending(PASSED, 1), NOON)
    assert (await runs.get(run_id)).progress == found.progress


async def test_what_a_lost_attempt_reported_is_not_that_of_the_next(rows, runs):
    run_id, job_id = await add(rows)
    await rows.transitions.claim(job_id)
    await rows.transitions.mark_running(job_id, NOON)
    told = Progress(4, 17, "evaluation", 3, 6.5)
    await rows.transitions.report_progress([ProgressReport(job_id, 1, told)], NOON)
    assert await rows.transitions.retry(job_id, 1)
    found = await runs.get(run_id)
    assert (found.status, found.progress, found.progress_at) == (RunStatus.PENDING, None, NOON)
    await rows.transitions.mark_running(job_id, NOON)
    again = Progress(0, 17, "query_analysis")
    await rows.transitions.report_progress([ProgressReport(job_id, 2, again)], NOON)
    assert (await runs.get(run_id)).progress == again


@pytest.mark.parametrize(
    ("status", "outcome", "cancel", "told"),
    [
        (JobStatus.QUEUED, None, False, RunStatus.PENDING),
        (JobStatus.INITIALIZING, None, False, RunStatus.PENDING),
        (JobStatus.RUNNING, None, False, RunStatus.RUNNING),
        (JobStatus.RUNNING, PASSED, False, RunStatus.COMPLETED),
        (JobStatus.RUNNING, EXITED_1, False, RunStatus.FAILED),
        (JobStatus.RUNNING, FAILED, False, RunStatus.FAILED),
        (JobStatus.QUEUED, None, True, RunStatus.CANCELLED),
        (JobStatus.RUNNING, None, True, RunStatus.CANCELLED),
        (JobStatus.RUNNING, PASSED, True, RunStatus.CANCELLED),
        (JobStatus.RUNNING, FAILED, True, RunStatus.CANCELLED),
        (JobStatus.RUNNING, replace(FAILED, status=JobStatus.CANCELLED), False, "cancelled"),
    ],
)
async def test_a_list_by_status_agrees_with_the_status(rows, runs, status, outcome, cancel, told):
    run_id = await run_in(rows, status, outcome, cancel=cancel)
    assert (await runs.get(run_id)).status == told
    for wanted in RunStatus:
        found, total = await runs.page(ALL, RunPage(0, 10, wanted))
        assert [run.request.run_id for run in found] == ([run_id] if wanted == told else [])
        assert total == len(found)


async def test_pages_are_of_the_scope_newest_first(rows, runs):
    ids = [(await add(rows, tenant="acme", user="ann"))[0] for _ in range(5)]
    (bobs, _), (others, _) = await add(rows, tenant="acme", user="bob"), await add(rows)
    await rows.add(tenant="acme", user="ann")  # not a run

    async def page(scope, offset, limit):
        found, total = await runs.page(scope, RunPage(offset, limit))
        return [run.request.run_id for run in found], total

    ann, acme = JobScope("acme", "ann"), JobScope("acme")
    newest = ids[::-1]
    assert await page(ann, 0, 2) == (newest[:2], 5)
    assert await page(ann, 4, 2) == (newest[4:], 5)
    assert await page(ann, 6, 2) == ([], 5)
    assert await page(acme, 0, 10) == ([bobs, *newest], 6)
    assert await page(ALL, 0, 2) == ([others, bobs], 7)
    assert await page(JobScope("globex"), 0, 10) == ([], 0)
    bob = JobScope("acme", "bob", others=(Visibility.TENANT,))
    assert await page(bob, 0, 10) == ([bobs, *newest], 6)
    (hidden, _) = await add(rows, tenant="acme", user="bob", visibility=Visibility.PRIVATE)
    assert await page(bob, 0, 2) == ([hidden, bobs], 7)
    assert await page(replace(bob, user="ann"), 0, 2) == ([bobs, newest[0]], 6)


async def test_a_page_is_read_without_reading_all_runs(rows, runs, monkeypatch):
    asked = []
    fetch_all = rows.database.fetch_all

    async def traced(sql, parameters=()):
        plan = await fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
        asked.append([row["detail"] for row in plan])
        return await fetch_all(sql, parameters)

    run_id = await run_in(rows, JobStatus.RUNNING)
    monkeypatch.setattr(rows.database, "fetch_all", traced)
    for scope in (ALL, JobScope("acme"), JobScope("acme", "ann")):
        await runs.page(scope, RunPage(0, 100))
    counts, pages = asked[::2], asked[1::2]
    assert len(pages) == 3
    assert not any("SCAN" in step for plan in asked for step in plan)
    assert all(len(plan) == 1 for plan in counts)
    for plan in pages:
        assert "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)" in plan
        found = next(place for place, step in enumerate(plan) if "LIST SUBQUERY" in step)
        assert not any("TEMP B-TREE" in step for step in plan[:found])
    assert await runs.get(run_id)


async def test_no_run_without_a_job_and_no_job_without_its_run(rows, runs):
    asked = request()
    await add(rows, asked)
    with pytest.raises(sqlite3.IntegrityError):
        await add(rows, asked, tenant="globex")
    with pytest.raises(TooManyJobsError):
        await rows.submissions.add(
            a_job(door=Door.RUNS), Quotas(live_jobs_per_tenant=1), run=request()
        )
    assert len(await rows.transitions.active()) == 1
    assert (await runs.page(ALL, RunPage(0, 10)))[1] == 1


async def test_a_run_is_deleted_with_its_job(rows, runs):
    run_id = await run_in(rows, JobStatus.RUNNING, PASSED)
    job_id = (await runs.get(run_id)).job.job_id
    assert await SqliteJobRetention(rows.database, "me").delete_jobs([job_id]) == 1
    assert await runs.get(run_id) is None
    assert await runs.page(ALL, RunPage(0, 10)) == ([], 0)


def test_ids_are_of_twelve_hexadecimal_digits():
    ids = {new_run_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 16 and one.startswith("run_") and int(one[4:], 16) >= 0 for one in ids)
