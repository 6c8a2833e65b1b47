"""What the rows promise (ports JobSubmissions, JobTransitions, ControllerLease)."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import JobFinishedError, JobNotFoundError, JobStartedError
from ci_common.job import (
    TRANSITIONS,
    Artifact,
    BegunFailure,
    CaseResult,
    CoverageSummary,
    Door,
    JobSpec,
    JobStatus,
    Network,
    ResourceLimits,
    SuiteSummary,
    Visibility,
)
from ci_common.policy import JobScope
from ci_common.ports.rows import Ending, JobQuery, JobState, StartOutlook
from ci_persistence.sqlite.job_list import Position, list_sql
from support.jobs import NOON, a_job
from support.rows import CANCELLED, FAILED, PASSED

pytestmark = pytest.mark.anyio


async def test_a_job_comes_back_as_it_was(rows):
    job = replace(
        a_job(created_at=NOON + timedelta(milliseconds=123)),
        tenant="tenant",
        user="user",
        spec=JobSpec(
            install=("-r dev.txt", "-e ."),
            command=("a b", "ä", '"', "\n", ""),
            name="lint",
            image="image:1",
            env={"A": "1", "ä": "'"},
            artifacts=("*.xml",),
            limits=ResourceLimits(1.5, 150, 64, 99, Network.NONE, 1 << 20, 65, 7, 0.5),
            priority=10,
            retries=3,
            tty=True,
            color=True,
            title="Term life, 2026",
            private=True,
        ),
        door=Door.MODELS,
        visibility=Visibility.PRIVATE,
    )
    await rows.submissions.add(job)
    assert await rows.submissions.get(job.job_id) == job
    assert await rows.transitions.get(job.job_id) == job
    assert await rows.submissions.get("no such job") is None


async def test_a_job_id_is_taken_once(rows):
    job = a_job()
    await rows.submissions.add(job)
    with pytest.raises(sqlite3.IntegrityError):
        await rows.submissions.add(job)


async def test_every_fact_of_a_finished_job_is_kept(rows):
    job_id = await rows.in_status(JobStatus.RUNNING)
    later = NOON + timedelta(seconds=5)
    assert await rows.transitions.finish(job_id, Ending(FAILED, 1 << 40), later)
    job = await rows.submissions.get(job_id)
    assert (job.outcome, job.log_size, job.ended_at, job.started_at) == (
        FAILED,
        1 << 40,
        later,
        NOON,
    )


@pytest.mark.parametrize("target", list(JobStatus)[1:])
@pytest.mark.parametrize("source", JobStatus)
async def test_only_the_moves_of_the_table_are_made(rows, source, target):
    job_id = await rows.in_status(source)
    before = await rows.submissions.get(job_id)
    moves = {
        JobStatus.INITIALIZING: lambda: rows.transitions.claim(job_id),
        JobStatus.RUNNING: lambda: rows.transitions.mark_running(job_id, NOON),
        **{
            outcome.status: lambda outcome=outcome: rows.transitions.finish(
                job_id, Ending(outcome, 7), NOON
            )
            for outcome in (PASSED, FAILED, CANCELLED)
        },
    }
    allowed = target in TRANSITIONS[source]
    assert await moves[target]() is allowed
    after = await rows.submissions.get(job_id)
    assert after.status is (target if allowed else source)
    if not allowed:
        assert after == before


async def test_a_retry_is_the_next_attempt(rows):
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert not await rows.transitions.retry(job_id, 2), "that attempt was not lost yet"
    assert await rows.transitions.retry(job_id, 1)
    job = await rows.submissions.get(job_id)
    assert (job.status, job.attempt, job.started_at) == (JobStatus.INITIALIZING, 2, None)
    assert not await rows.transitions.retry(job_id, 1), "safe to repeat"
    assert not await rows.transitions.retry(job_id, 2), "it does not run yet"
    later = NOON + timedelta(seconds=9)
    assert await rows.transitions.mark_running(job_id, later)
    job = await rows.submissions.get(job_id)
    assert (job.attempt, job.started_at) == (2, later)


@pytest.mark.parametrize("status", [s for s in JobStatus if s is not JobStatus.RUNNING])
async def test_only_running_jobs_are_tried_again(rows, status):
    job_id = await rows.in_status(status)
    before = await rows.submissions.get(job_id)
    assert not await rows.transitions.retry(job_id, 1)
    assert await rows.submissions.get(job_id) == before


async def test_artifacts_and_tests_are_recorded_with_the_end(rows):
    artifacts = (Artifact("b/c", 3, "c" * 64), Artifact("a", 5, "a" * 64, NOON))
    summary = SuiteSummary(
        2, 1, 1, 0, 0, 0.5, (CaseResult("t::b", 0.4, "it failed"),), (CaseResult("t::b", 0.4),)
    )
    coverage = CoverageSummary(3, 5, 1, 2)
    ending = Ending(PASSED, 7, 99, artifacts, summary, coverage)
    job_id = await rows.in_status(JobStatus.RUNNING)
    assert await rows.transitions.finish(job_id, ending, NOON)
    assert not await rows.transitions.finish(job_id, ending, NOON)
    job = await rows.submissions.get(job_id)
    assert (job.log_dropped, job.artifacts_size, job.tests) == (99, 8, summary)
    assert job.coverage == coverage
    assert await rows.submissions.artifacts(job_id) == [artifacts[1], artifacts[0]]
    assert await rows.submissions.artifact(job_id, "b/c") == artifacts[0]
    other = await rows.in_status(JobStatus.RUNNING)
    await rows.transitions.finish(other, Ending(PASSED, 7, 0, artifacts[:1]), NOON)
    assert await rows.submissions.artifacts_of([job_id, other, "none"], 1) == {
        job_id: [artifacts[1]],
        other: [artifacts[0]],
    }
    assert await rows.submissions.artifacts_of([], 1) == {}
    assert await rows.submissions.artifact(job_id, "b") is None


async def test_an_ending_that_is_refused_records_nothing(rows):
    job_id = await rows.in_status(JobStatus.CANCELLED)
    ending = Ending(PASSED, 7, artifacts=(Artifact("a", 5, "a" * 64),))
    assert not await rows.transitions.finish(job_id, ending, NOON)
    assert await rows.submissions.artifacts(job_id) == []
    assert (await rows.submissions.get(job_id)).artifacts_size == 0


@pytest.mark.parametrize("status", [status for status in JobStatus if not status.is_terminal])
async def test_a_failure_that_is_begun_is_no_end_yet(rows, status):
    job_id = await rows.in_status(status)
    outcome = replace(FAILED, exit_code=None)  # of no command is it known that early
    ending = Ending(outcome, 7, None)
    assert await rows.transitions.begin_failure(job_id, ending)
    job = await rows.submissions.get(job_id)
    assert job.failing == BegunFailure(outcome, 7, None)
    assert (job.status, job.outcome, job.log_size, job.log_dropped) == (status, None, None, 0)
    assert [one.failing for one in await rows.transitions.active()] == [job.failing]
    other = Ending(replace(FAILED, message="another one"), 8)
    assert not await rows.transitions.begin_failure(job_id, other), "the first one counts"
    assert (await rows.submissions.get(job_id)).failing == job.failing
    assert await rows.transitions.finish(job_id, replace(ending, log_size=99), NOON)
    job = await rows.submissions.get(job_id)
    assert (job.outcome, job.log_size, job.log_dropped, job.failing) == (outcome, 99, None, None)


async def test_an_ended_job_and_one_of_another_controller_begin_no_failure(rows):
    ended = await rows.in_status(JobStatus.COMPLETED)
    assert not await rows.transitions.begin_failure(ended, Ending(FAILED, 7))
    live = await rows.in_status(JobStatus.RUNNING)
    await rows.lease.release("me")
    assert not await rows.transitions.begin_failure(live, Ending(FAILED, 7))
    assert (await rows.submissions.get(live)).failing is None


async def test_the_place_in_the_queue_counts_the_tenants_own_jobs(rows):
    async def queued(tenant, priority=5):
        job = a_job(tenant=tenant, priority=priority)
        await rows.submissions.add(job)
        return job

    async def places(*jobs):
        places = [await rows.submissions.queue_position(job) for job in jobs]
        assert places == [await place_among_all(job) for job in jobs]
        return places

    async def place_among_all(job):
        return (await rows.submissions.queue_positions(job.tenant))[job.job_id]

    await queued("other", 10)
    first, second = await queued("a"), await queued("a")
    await queued("other")
    low, high = await queued("a", 0), await queued("a", 9)
    assert await places(high, first, second, low) == [1, 2, 3, 4]
    await rows.transitions.claim(high.job_id)
    assert await places(first, second, low) == [1, 2, 3]
    mine = {job.job_id for job in (first, second, low)}
    assert set(await rows.submissions.queue_positions("a")) == mine, "no other tenant's"
    assert await rows.submissions.queue_positions("nobody") == {}


async def test_of_many_claims_one_succeeds(rows):
    job_id = await rows.add()
    claims = await asyncio.gather(*(rows.transitions.claim(job_id) for _ in range(10)))
    assert sorted(claims) == [False] * 9 + [True]


async def test_moves_of_no_job(rows):
    assert not await rows.transitions.claim("no such job")
    assert not await rows.transitions.finish("no such job", Ending(PASSED, 0), NOON)


async def test_active_jobs_come_first_come_first(rows):
    ids = [await rows.in_status(status) for status in JobStatus]
    assert [job.job_id for job in await rows.transitions.active()] == ids[:3]


async def test_a_list_is_newest_first_and_in_pages(rows):
    ids = [await rows.add() for _ in range(5)]
    ids.reverse()

    async def page(before=None, limit=2, status=None, tenant="local"):
        scope = JobScope(tenant)
        states = None if status is None else (JobState(status),)
        jobs = await rows.submissions.list_jobs(scope, JobQuery(states, limit, before))
        return [job.job_id for job in jobs]

    assert await page() == ids[:2]
    assert await page(before=ids[1]) == ids[2:4]
    assert await page(before=ids[3]) == ids[4:]
    assert await page(before=ids[4]) == []
    await rows.transitions.claim(ids[3])
    assert await page(status=JobStatus.INITIALIZING) == [ids[3]]
    assert await page(status=JobStatus.QUEUED, limit=9) == [*ids[:3], ids[4]]
    assert await page(tenant="another") == []
    for stranger in ("no such job", await rows.add(tenant="another")):
        with pytest.raises(JobNotFoundError):
            await page(before=stranger)


async def test_a_list_holds_what_is_in_the_scope(rows):
    anns = await rows.add(tenant="acme", user="ann")
    bobs = await rows.add(tenant="acme", user="bob")
    others = await rows.add(tenant="other", user="ann")

    async def listed(before=None, **scope):
        jobs = await rows.submissions.list_jobs(JobScope(**scope), JobQuery(limit=9, before=before))
        return [job.job_id for job in jobs]

    assert await listed() == [others, bobs, anns]
    assert await listed(tenant="acme") == [bobs, anns]
    assert await listed(tenant="acme", user="ann") == [anns]
    assert await listed(tenant="acme", user="ann", job_id=bobs) == []
    with pytest.raises(JobNotFoundError):
        await listed(tenant="acme", user="ann", before=bobs)


SHARED, VIEWED = (Visibility.TENANT,), (Visibility.TENANT, Visibility.VIEWERS)


@pytest.mark.parametrize("door", [Door.NATIVE, Door.MODELS])
async def test_a_list_holds_the_jobs_of_others_that_are_visible(rows, door):
    jobs = {
        await rows.add(tenant=tenant, user=user, visibility=it, door=door): (tenant, user, it)
        for it in Visibility
        for tenant, user in (("acme", "ann"), ("acme", "bob"), ("other", "ann"))
        for _ in range(2)
    }
    for others in ((), SHARED, VIEWED):
        scope = JobScope("acme", "ann", others=others)
        wanted = [
            job_id
            for job_id, (tenant, user, it) in reversed(jobs.items())
            if tenant == "acme" and (user == "ann" or it in others)
        ]
        found = []
        while len(found) < len(wanted):
            query = JobQuery(limit=3, before=found[-1] if found else None, door=door)
            page = await rows.submissions.list_jobs(scope, query)
            assert all(map(scope.covers, page))
            assert page
            found += [job.job_id for job in page]
        assert found == wanted
        queued = JobQuery((JobState(JobStatus.QUEUED),), door=door)
        assert [job.job_id for job in await rows.submissions.list_jobs(scope, queued)] == wanted
        hidden = next(job_id for job_id in jobs if job_id not in wanted)
        with pytest.raises(JobNotFoundError):
            await rows.submissions.list_jobs(scope, JobQuery(before=hidden))


@pytest.mark.parametrize("others", [SHARED, VIEWED])
@pytest.mark.parametrize("states", [None, (JobState(JobStatus.RUNNING),)])
async def test_a_list_of_what_is_visible_reads_only_what_it_shows(rows, others, states):
    """However many jobs there are that it does not: each part has an index in the list's order."""
    scope = JobScope("acme", "ann", others=others)
    sql, parameters = list_sql(scope, JobQuery(states), Position(7, 7))
    rows_of_plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)
    plan = [row["detail"] for row in rows_of_plan]
    of_others = "jobs_of_visibility_by_status" if states else "jobs_of_visibility"
    used = [step.split(" INDEX ")[1].split(" ")[0] for step in plan if "SEARCH" in step]
    assert sorted(used) == sorted([of_others] * len(others) + ["jobs_not_for_all_of_user"])
    assert not any("B-TREE" in step or "SCAN" in step for step in plan), plan


async def test_a_list_of_jobs_in_one_of_several_states(rows):
    ids = {status: await rows.in_status(status) for status in JobStatus}
    failed = await rows.add()
    await rows.transitions.claim(failed)
    outcome = replace(PASSED, exit_code=1)
    await rows.transitions.finish(failed, Ending(outcome, 0), NOON)
    cancelling = await rows.add()
    await rows.submissions.request_cancel(cancelling, NOON)

    async def listed(*states):
        query = JobQuery(states, limit=99)
        return {job.job_id for job in await rows.submissions.list_jobs(JobScope(), query)}

    completed, queued = JobStatus.COMPLETED, JobStatus.QUEUED
    assert await listed() == set()
    assert await listed(JobState(completed)) == {ids[completed], failed}
    assert await listed(JobState(completed, success=True)) == {ids[completed]}
    assert await listed(JobState(completed, success=False)) == {failed}
    assert await listed(JobState(queued, cancel_requested=True)) == {cancelling}
    assert await listed(JobState(queued, cancel_requested=False)) == {ids[queued]}
    both = (JobState(completed, success=False), JobState(JobStatus.FAILED))
    assert await listed(*both) == {failed, ids[JobStatus.FAILED]}


async def test_a_job_without_an_exit_code_is_no_success(rows):
    job_id = await rows.add()
    await rows.transitions.claim(job_id)
    await rows.transitions.finish(job_id, Ending(replace(PASSED, exit_code=None), 0), NOON)

    async def listed(success):
        query = JobQuery((JobState(JobStatus.COMPLETED, success=success),))
        return [job.job_id for job in await rows.submissions.list_jobs(JobScope(), query)]

    assert await listed(success=False) == [job_id]
    assert await listed(success=True) == []


async def test_a_list_of_the_jobs_of_a_door(rows):
    await rows.add()
    of_models = [await rows.add(door=Door.MODELS) for _ in range(3)]
    await rows.add(door=Door.MODELS, tenant="another")
    query = JobQuery(door=Door.MODELS, limit=2, before=of_models[2])
    jobs = await rows.submissions.list_jobs(JobScope("local"), query)
    assert [job.job_id for job in jobs] == [of_models[1], of_models[0]]
    (native,) = await rows.submissions.list_jobs(JobScope("local"), JobQuery(door=Door.NATIVE))
    assert native.door is Door.NATIVE


async def test_what_tells_when_a_job_will_start(rows):
    async def ended(seconds, title="A", outcome=PASSED, **options):
        job_id = await rows.add(door=Door.MODELS, title=title, **options)
        await rows.transitions.claim(job_id)
        await rows.transitions.mark_running(job_id, NOON)
        at = NOON + timedelta(seconds=seconds)
        await rows.transitions.finish(job_id, Ending(outcome, 0), at)

    await ended(10)
    await ended(20)
    await ended(1, title="B")
    await ended(1, title=None)
    await ended(2, outcome=replace(PASSED, exit_code=1))
    await ended(3, tenant="another")
    for tenant in ("local", "another"):
        await rows.transitions.claim(await rows.add(tenant=tenant))
    await rows.add()
    await rows.add(tenant="another")
    job = a_job(door=Door.MODELS, title="A")
    await rows.submissions.add(job)
    outlook = await rows.submissions.start_outlook(job)
    assert replace(outlook, recent_seconds=()) == StartOutlook(1, 1, 2, ())
    assert outlook.recent_seconds == pytest.approx((20, 10), abs=0.002)
    nameless = a_job(door=Door.MODELS)
    await rows.submissions.add(nameless)
    outlook = await rows.submissions.start_outlook(nameless)
    assert outlook.recent_seconds == pytest.approx((1,), abs=0.002)


@pytest.mark.parametrize("status", JobStatus)
async def test_only_a_queued_job_is_cancelled_where_that_is_wanted(rows, status):
    job_id = await rows.in_status(status)
    if status is JobStatus.QUEUED:
        job = await rows.submissions.request_cancel(job_id, NOON, only_queued=True)
        assert job.cancel_requested_at == NOON
        return
    error = JobFinishedError if status.is_terminal else JobStartedError
    with pytest.raises(error):
        await rows.submissions.request_cancel(job_id, NOON, only_queued=True)
    assert (await rows.submissions.get(job_id)).cancel_requested_at is None


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING])
async def test_cancel_is_an_intent(rows, status):
    job_id = await rows.in_status(status)
    job = await rows.submissions.request_cancel(job_id, NOON)
    assert (job.status, job.cancel_requested_at) == (status, NOON)
    again = await rows.submissions.request_cancel(job_id, NOON + timedelta(seconds=9))
    assert again.cancel_requested_at == NOON, "the first wish counts"


@pytest.mark.parametrize("status", [status for status in JobStatus if status.is_terminal])
async def test_finished_jobs_cannot_be_cancelled(rows, status):
    with pytest.raises(JobFinishedError):
        await rows.submissions.request_cancel(await rows.in_status(status), NOON)


async def test_no_job_cannot_be_cancelled(rows):
    with pytest.raises(JobNotFoundError):
        await rows.submissions.request_cancel("no such job", NOON)


async def test_moves_wake_watchers(rows):
    job_id = await rows.add()
    subscription = rows.submissions._signals.subscribe(job_id)
    for move in (
        rows.transitions.claim(job_id),
        rows.transitions.mark_running(job_id, NOON),
        rows.submissions.request_cancel(job_id, NOON),
        rows.transitions.finish(job_id, Ending(CANCELLED, 0), NOON),
    ):
        await move
        assert await subscription.wait(5)
    subscription.close()
