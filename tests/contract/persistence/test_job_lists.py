"""What lists of jobs are filtered, sorted and counted by."""

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import JobNotFoundError
from ci_common.job import Door, JobStatus, Outcome, Reason, Visibility
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, JobQuery, JobSort, JobState
from ci_persistence.database.migrations import MIGRATIONS, statements
from ci_persistence.sqlite.job_list import count_sql, list_sql
from support.jobs import NOON, a_job
from support.rows import CANCELLED, FAILED, PASSED

pytestmark = pytest.mark.anyio

ACME = JobScope("acme")
FAILED_TESTS = Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited with code 1", 1)
SHARED = JobScope("acme", "ann", others=(Visibility.TENANT,))
VIEWED = replace(SHARED, others=(Visibility.TENANT, Visibility.VIEWERS))
FAILURES = (JobState(JobStatus.FAILED), JobState(JobStatus.COMPLETED, success=False))


@pytest.fixture
async def listed(rows):
    """A function that lists the names of the jobs below, and checks that as many are counted."""
    await _add(rows, "passed", PASSED, 60, name="test", user="ann", branch="main")
    await _add(rows, "tests", FAILED_TESTS, 10, name="test", user="bob", branch="main", team="a")
    await _add(rows, "late", FAILED, 90, name="lint", user="ann", branch="fix", title="Ünits")
    await _add(rows, "gone", CANCELLED, None, name="lint", user="ann", branch="fix")
    await _add(rows, "queued", None, None, name="build", user="bob", branch="main")
    await _add(rows, "other", PASSED, 5, tenant="other", name="test", user="ann", branch="main")

    async def found(scope=ACME, **query):
        asked = JobQuery(**query)
        jobs = await rows.submissions.list_jobs(scope, asked)
        if asked.limit == 100:
            assert await rows.submissions.count_jobs(scope, asked) == len(jobs)
        return [job.job_id for job in jobs]

    return found


async def _add(rows, job_id, outcome, seconds, *, branch, team=None, name, **of_job):
    at = NOON + timedelta(hours=len(await rows.submissions.list_jobs(JobScope(), JobQuery())))
    job = a_job(
        job_id=job_id, created_at=at, command=("run", "100%_x"), **{"tenant": "acme"} | of_job
    )
    labels = {"git.branch": branch} | ({"team": team} if team else {})
    await rows.submissions.add(replace(job, spec=replace(job.spec, name=name, labels=labels)))
    if seconds is not None:
        await rows.transitions.claim(job_id)
        await rows.transitions.mark_running(job_id, at)
    if outcome is not None:
        end = at + timedelta(seconds=seconds or 0)
        await rows.transitions.finish(job_id, Ending(outcome, 1), end)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "queued gone late tests passed"),
        ({"states": FAILURES}, "late tests"),
        ({"states": ()}, ""),
        ({"user": "ann"}, "gone late passed"),
        ({"user": "Ann"}, ""),
        ({"name": "lint"}, "gone late"),
        ({"reason": "timeout"}, "late"),
        ({"reason": "exit"}, "tests passed"),
        ({"labels": (("git.branch", "main"),)}, "queued tests passed"),
        ({"labels": (("git.branch", "main"), ("team", "a"))}, "tests"),
        ({"labels": (("git.branch", "main"), ("team", "b"))}, ""),
        ({"labels": (("git.branch", "fix"), ("git.branch", "main"))}, ""),
        ({"since": NOON + timedelta(hours=2)}, "queued gone late"),
        ({"until": NOON + timedelta(hours=2)}, "tests passed"),
        ({"since": NOON, "until": NOON + timedelta(milliseconds=1)}, "passed"),
        ({"ids": ("passed", "queued", "other", "unknown")}, "queued passed"),
        ({"ids": ("passed", "tests", "gone"), "text": "exited", "user": "ann"}, "passed"),
        ({"ids": ("late", "tests"), "labels": (("git.branch", "fix"),)}, "late"),
        ({"text": "LINT ann"}, "gone late"),
        ({"text": "Ünits"}, "late"),
        ({"text": "branch:fix"}, "gone late"),
        ({"text": "STOPPED"}, "late"),
        ({"text": "%_x"}, "queued gone late tests passed"),
        ({"text": "nothing"}, ""),
        ({"text": "cancelled", "labels": (("git.branch", "fix"),)}, "gone"),
        ({"descending": False}, "passed tests late gone queued"),
        ({"sort": JobSort.DURATION}, "late passed tests"),
        ({"sort": JobSort.DURATION, "descending": False}, "tests passed late"),
        ({"sort": JobSort.ENDED}, "gone late tests passed"),
        ({"sort": JobSort.ENDED, "labels": (("git.branch", "main"),)}, "tests passed"),
        ({"user": "ann", "name": "lint", "states": FAILURES, "text": "run"}, "late"),
        ({"door": Door.NATIVE, "user": "bob"}, "queued tests"),
        ({"door": Door.MODELS, "text": "run"}, ""),
    ],
)
async def test_all_that_is_asked_for_holds(listed, query, names):
    assert await listed(**query) == names.split()


async def test_only_jobs_of_the_scope_are_listed(listed):
    of_main = {"labels": (("git.branch", "main"),)}
    assert await listed(JobScope(), **of_main) == ["other", "queued", "tests", "passed"]
    assert await listed(JobScope("acme", "bob"), **of_main) == ["queued", "tests"]
    assert await listed(JobScope("other"), text="run") == ["other"]
    assert await listed(JobScope("acme", "bob"), user="ann") == []
    assert await listed(JobScope(), user="ann", name="test") == ["other", "passed"]


@pytest.mark.parametrize("scope", [JobScope("acme", "ann"), SHARED, VIEWED])
async def test_what_others_may_not_see_is_in_no_list_and_no_count(rows, scope):
    """Whatever they filter by: all of these fit all the jobs, but for what is said of users."""
    jobs = {}
    for it in Visibility:
        for tenant, user in (("acme", "ann"), ("acme", "bob"), ("other", "ann")):
            job_id = f"{it.value} of {user} of {tenant}"
            facts = {"tenant": tenant, "user": user, "visibility": it}
            await _add(rows, job_id, PASSED, 9, name="test", branch="main", team="a", **facts)
            jobs[job_id] = a_job(job_id=job_id, **facts)
    label = ("git.branch", "main")
    for query in (
        JobQuery(),
        JobQuery((JobState(JobStatus.COMPLETED),)),
        JobQuery((JobState(JobStatus.COMPLETED, success=True),)),
        JobQuery(name="test", reason="exit", since=NOON),
        JobQuery(ids=tuple(jobs)),
        JobQuery(labels=(label,)),
        JobQuery(labels=(label, ("team", "a")), text="100%"),
        JobQuery(text="run"),
        JobQuery(text="run", name="test"),
        JobQuery(sort=JobSort.DURATION),
        JobQuery(sort=JobSort.ENDED),
        JobQuery(descending=False),
        JobQuery(door=Door.NATIVE),
        JobQuery(user="ann"),
        JobQuery(user="bob"),
        JobQuery((JobState(JobStatus.COMPLETED),), user="bob", text="run"),
    ):
        wanted = [
            job_id
            for job_id, job in jobs.items()
            if scope.covers(job) and query.user in (None, job.user)
        ]
        if query.descending:
            wanted.reverse()
        assert await rows.submissions.count_jobs(scope, query) == len(wanted), query
        pages, page = [], None
        while page != []:
            query = replace(query, limit=2, before=pages[-1] if pages else None)
            page = [job.job_id for job in await rows.submissions.list_jobs(scope, query)]
            pages += page
        assert pages == wanted, query
        for hidden in jobs.keys() - set(wanted) if query.user is None else ():
            with pytest.raises(JobNotFoundError):
                await rows.submissions.list_jobs(scope, replace(query, before=hidden))


async def test_a_job_is_found_by_the_address_that_its_user_has_now(rows, listed):
    await rows.database.write("UPDATE jobs SET user = 'Zoe@x' WHERE tenant = 'acme'")
    assert await listed(text="zoe@X lint") == ["gone", "late"]
    assert await listed(text="STOPPED") == ["late"]
    assert await listed(text="ann") == []
    assert await listed(JobScope("other"), text="ann") == ["other"]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", JobSort)
@pytest.mark.parametrize("more", [{}, {"labels": (("git.branch", "main"),)}, {"text": "run"}])
async def test_pages_are_the_whole_list(listed, sort, descending, more):
    query = {"sort": sort, "descending": descending, **more}
    pages, before = [], None
    while page := await listed(limit=1, before=before, **query):
        pages += page
        before = page[-1]
    assert pages == await listed(**query)


async def test_a_cursor_is_of_the_list(listed):
    for before in ("other", "queued"):  # of another tenant, and not ended
        with pytest.raises(JobNotFoundError):
            await listed(before=before, sort=JobSort.ENDED)


async def test_a_deleted_job_leaves_nothing_to_be_found_by(rows, listed):
    await rows.database.write("DELETE FROM jobs")
    for table in ("job_labels", "job_texts"):
        row = await rows.database.fetch_one(f"SELECT count(*) AS left_over FROM {table}")
        assert row["left_over"] == 0


@pytest.mark.parametrize(
    "query",
    [
        {"name": "lint"},
        {"states": FAILURES},
        {"since": NOON, "user": "ann"},
        {"labels": (("git.branch", "main"), ("team", "a")), "reason": "exit"},
        {"text": "run"},
    ],
)
@pytest.mark.parametrize("scope", [JobScope(), ACME, JobScope("acme", "ann"), SHARED])
async def test_a_filter_reads_no_row_that_it_leaves_out(rows, scope, query):
    for sql, parameters in (
        list_sql(scope, JobQuery(**query), None),
        count_sql(scope, JobQuery(**query)),
    ):
        plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
        steps = [row["detail"] for row in plan if " jobs" in row["detail"]]
        inner = [step for step in steps if "PRIMARY KEY (rowid=?)" not in step]
        assert inner
        assert all("COVERING INDEX jobs_listed" in step for step in inner)


@pytest.mark.parametrize("scope", [JobScope(), ACME, SHARED])
async def test_jobs_that_are_named_are_found_without_reading_others(rows, scope):
    sql, parameters = list_sql(scope, JobQuery(ids=("a", "b"), states=FAILURES), None)
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
    steps = [row["detail"] for row in plan if " jobs" in row["detail"]]
    assert steps
    assert all(step.startswith("SEARCH") for step in steps), steps


@pytest.mark.parametrize("query", [JobQuery(), JobQuery((JobState(JobStatus.RUNNING),))])
async def test_a_count_of_what_is_visible_reads_no_row_of_others(rows, query):
    sql, parameters = count_sql(VIEWED, query)
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
    steps = [row["detail"] for row in plan if " jobs" in row["detail"]]
    assert ["COVERING INDEX jobs_of_visibility" in step for step in steps] == [True, True, False]
    assert "jobs_not_for_all_of_user" in steps[2]


def test_jobs_of_before_are_found_by_their_texts_and_names():
    step = next(number for number, script in enumerate(MIGRATIONS) if "job_texts" in script)
    with sqlite3.connect(":memory:") as connection:
        for number, script in enumerate(MIGRATIONS):
            if number == step:
                connection.execute(
                    "INSERT INTO jobs (job_id, tenant, user, spec, status, created_at, message) "
                    """VALUES ('a', 't', 'Ann', '{"name": "lint", "command": ["ls", "-L"]}', """
                    "'completed', '2030', 'Done')"
                )
            for statement in statements(script):
                connection.execute(statement)
        assert connection.execute("SELECT name FROM jobs").fetchall() == [("lint",)]
        assert connection.execute("SELECT text FROM job_texts").fetchall() == [
            ("lint\nann\nls -l\ndone",)
        ]
