"""What rows tell of why jobs wait (ports JobSubmissions, JobTransitions)."""

from datetime import timedelta

import pytest

from ci_common.job import JobStatus
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.rows import ControllerState, ServerLoad
from ci_persistence.sqlite.submissions import UNDER_WAY
from support.jobs import NOON, a_job

pytestmark = pytest.mark.anyio

PULLING, INSTALLING = LaunchStep(LaunchStage.PULLING), LaunchStep(LaunchStage.INSTALLING)
RETRYING = LaunchStep(LaunchStage.RETRYING, 2)


async def step_of(rows, job_id):
    job = await rows.submissions.get(job_id)
    assert await rows.transitions.get(job_id) == job
    return job.launch_step


async def test_a_launch_step_is_told_only_while_its_attempt_is_launched(rows):
    note = rows.transitions.note_launch_step
    job_id = await rows.add()
    assert not await note(job_id, 1, PULLING), "it is still queued"
    await rows.transitions.claim(job_id)
    assert await step_of(rows, job_id) is None
    for step in (PULLING, INSTALLING, RETRYING):
        assert await note(job_id, 1, step)
        assert await step_of(rows, job_id) == step
    await rows.transitions.mark_running(job_id, NOON)
    assert await step_of(rows, job_id) is None
    assert not await note(job_id, 1, PULLING)
    await rows.transitions.retry(job_id, 1)
    assert await step_of(rows, job_id) is None, "that was the first attempt's"
    assert not await note(job_id, 1, PULLING)
    assert await note(job_id, 2, PULLING)


async def test_only_the_holder_of_the_lease_tells_launch_steps(rows):
    job_id = await rows.in_status(JobStatus.INITIALIZING)
    await rows.lease.release("me")
    await rows.lease.acquire("another", NOON, 60)
    assert not await rows.transitions.note_launch_step(job_id, 1, PULLING)
    assert await step_of(rows, job_id) is None


async def test_a_step_that_another_version_wrote_is_none(rows):
    job_id = await rows.in_status(JobStatus.INITIALIZING)
    for text in ("dancing", "retrying x", ""):
        await rows.database.write("UPDATE jobs SET launch_step = ?", (text,))
        assert await step_of(rows, job_id) is None


async def test_the_load_counts_what_is_under_way_by_tenant(rows):
    assert await rows.submissions.server_load() == ServerLoad(ControllerState(NOON, None), {})
    for tenant, moves in (("a", 1), ("a", 2), ("b", 1), ("b", 0), ("c", 0)):
        job = a_job(tenant=tenant)
        await rows.submissions.add(job)
        if moves:
            await rows.transitions.claim(job.job_id)
        if moves > 1:
            await rows.transitions.mark_running(job.job_id, NOON)
    for status in (JobStatus.COMPLETED, JobStatus.CANCELLED):
        await rows.in_status(status)
    await rows.lease.report_engine("no answer")
    load = await rows.submissions.server_load()
    assert load == ServerLoad(ControllerState(NOON, "no answer"), {"a": 2, "b": 1})
    assert not load.controller.is_silent(NOON + timedelta(seconds=10))
    assert load.controller.is_silent(NOON + timedelta(seconds=11))


async def test_jobs_that_have_ended_cost_the_load_nothing(rows):
    plan = await rows.database.fetch_all(f"EXPLAIN QUERY PLAN {UNDER_WAY}")
    (step,) = (row["detail"] for row in plan)
    assert step.endswith("COVERING INDEX jobs_live_of_user"), step
