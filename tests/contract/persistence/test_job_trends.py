"""How the recent jobs of a name went."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.job import Door, JobStatus, Outcome, Reason, Visibility
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending
from ci_common.ports.trends import TREND_RUNS, JobTrend, TrendRun
from ci_persistence.sqlite.job_trends import SqliteJobTrends, trends_sql
from support.jobs import NOON, a_job
from support.rows import CANCELLED, FAILED, PASSED

pytestmark = pytest.mark.anyio

FAILED_TESTS = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 1", 1)
ACME = JobScope("acme")


async def _add(rows, name, outcome, seconds, **of_job):
    job = a_job(**{"tenant": "acme", "user": "ann"} | of_job)
    await rows.submissions.add(replace(job, spec=replace(job.spec, name=name)))
    if seconds is not None:
        await rows.transitions.claim(job.job_id)
        await rows.transitions.mark_running(job.job_id, NOON)
    if outcome is not None:
        ended = NOON + timedelta(seconds=seconds or 0)
        await rows.transitions.finish(job.job_id, Ending(outcome, 1), ended)


async def test_a_trend_has_what_passed_and_failed_of_those_one_may_see(rows):
    await _add(rows, "test", PASSED, 60)
    await _add(rows, "test", FAILED_TESTS, 1.5, user="bob")
    await _add(rows, "test", FAILED, None)
    await _add(rows, "test", PASSED, 9, user="bob", visibility=Visibility.PRIVATE)
    await _add(rows, "test", PASSED, 7, tenant="other")
    await _add(rows, "test", CANCELLED, 3)
    await _add(rows, "test", None, 3)
    await _add(rows, "test", PASSED, 5, door=Door.MODELS, title="A model")
    await _add(rows, "lint", PASSED, 2)
    await _add(rows, "else", PASSED, 2)
    trends = SqliteJobTrends(rows.database)

    async def found(scope, *names):
        return {(each.tenant, each.name): each for each in await trends.trends(scope, names)}

    shared = JobScope("acme", "ann", others=(Visibility.TENANT,))
    runs = (TrendRun(False, None), TrendRun(False, 1.5), TrendRun(True, 60))
    test = JobTrend("acme", "test", runs)
    lint = JobTrend("acme", "lint", (TrendRun(True, 2),))
    assert test.passed == 1
    assert await found(shared, "test", "lint", "build", "x' OR 1") == {
        ("acme", "test"): test,
        ("acme", "lint"): lint,
    }
    of_all = await found(JobScope(), "test")
    assert of_all["acme", "test"].runs == (TrendRun(True, 9), *runs)
    assert of_all["other", "test"].runs == (TrendRun(True, 7),)


async def test_a_trend_has_the_newest_jobs_and_reads_no_rows(rows):
    for number in range(TREND_RUNS + 2):
        await _add(rows, "test", PASSED, number)
    (trend,) = await SqliteJobTrends(rows.database).trends(ACME, ["test"])
    assert [run.seconds for run in trend.runs] == [*range(TREND_RUNS + 1, 1, -1)]

    sql, parameters = trends_sql(ACME, ["test"])
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
    steps = [row["detail"] for row in plan if " jobs" in row["detail"]]
    assert steps == ["SCAN jobs USING COVERING INDEX jobs_listed"]
