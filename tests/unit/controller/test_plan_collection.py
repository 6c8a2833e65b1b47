"""Jobs whose command has ended, and whose artifacts are collected, hold no slot: a few of them."""

import pytest

from ci_common.job import JobStatus
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.reconcile.plan import Start, plan
from ci_controller.reconcile.world import PlanLimits, World
from support.jobs import NOON, a_job

RUNNING, EXITED, CREATED = WorkloadState.RUNNING, WorkloadState.EXITED, WorkloadState.CREATED


def world(text):
    """Jobs and workloads from a text such as `a1 queued, a2 exited`: of tenant `a`."""
    jobs, workloads = [], []
    for entry in filter(None, text.split(", ")):
        name, fact = entry.split()
        status = JobStatus.QUEUED if fact == "queued" else JobStatus.RUNNING
        if fact == "initializing":
            status = JobStatus.INITIALIZING
        attempt = 2 if fact == "retried" else 1
        job = a_job(
            status,
            job_id=name,
            tenant=name[0],
            started_at=NOON if status is JobStatus.RUNNING else None,
            attempt=attempt,
            cancel_requested_at=NOON if fact == "cancelled" else None,
        )
        jobs.append(job)
        states = {"running": RUNNING, "initializing": CREATED}
        if fact not in ("queued", "missing"):
            workloads.append(Workload(name, states.get(fact, EXITED)))
    return jobs, workloads


# name: world, slots, cap of a tenant, collections at once -> started
WORLDS = {
    "the_slot_is_free": ("a1 exited, a2 queued", 1, None, 4, ["a2"]),
    "not_while_it_runs": ("a1 running, a2 queued", 1, None, 4, []),
    "not_while_it_is_made": ("a1 initializing, a2 queued", 1, None, 4, []),
    "not_while_it_is_missing": ("a1 missing, a2 queued", 1, None, 4, []),
    "not_of_the_attempt_before": ("a1 retried, a2 queued", 1, None, 4, []),
    "cancelled_while_collected": ("a1 cancelled, a2 queued", 1, None, 4, ["a2"]),
    "each_slot": ("a1 exited, b1 running, a2 queued, a3 queued", 2, None, 4, ["a2"]),
    "more_than_are_collected_at_once_hold_theirs": (
        "a1 exited, b1 exited, c1 exited, d1 queued",
        1,
        None,
        2,
        [],
    ),
    "as_many_as_are_collected_at_once": (
        "a1 exited, b1 exited, d1 queued, e1 queued",
        1,
        None,
        2,
        ["d1"],
    ),
    "of_one_tenant_half": ("a1 exited, a2 exited, a3 exited, b1 queued", 1, None, 4, []),
    "of_one_tenant_half_rounded_up": ("a1 exited, a2 exited, b1 queued", 1, None, 3, ["b1"]),
    "others_have_the_other_half": (
        "a1 exited, a2 exited, a3 exited, b1 exited, b2 queued",
        2,
        None,
        4,
        ["b2"],
    ),
    "one_at_once": ("a1 exited, b1 queued", 1, None, 1, ["b1"]),
    "a_tenants_cap": ("a1 exited, a2 queued, a3 queued", 9, 1, 4, ["a2"]),
}


@pytest.mark.parametrize("case", WORLDS)
def test_what_starts(case):
    text, slots, cap, collections, expected = WORLDS[case]
    jobs, workloads = world(text)
    actions = plan(World(PlanLimits(slots, cap, 6.0, collections), jobs, workloads))
    assert [action.job.job_id for action in actions if isinstance(action, Start)
            and action.job.status is JobStatus.QUEUED] == expected  # fmt: skip


def test_jobs_that_end_at_once_do_not_pile_up():
    """However slow the artifacts, there are never more workloads than slots and collections."""
    jobs, workloads = world(", ".join(f"{'ab'[n % 2]}{n} queued" for n in range(50)))
    limits = PlanLimits(2, None, 6.0, 4)
    for _ in range(60):
        started = [
            action.job.job_id
            for action in plan(World(limits, jobs, workloads))
            if isinstance(action, Start)
        ]
        jobs = [
            a_job(JobStatus.RUNNING, job_id=job.job_id, tenant=job.tenant, started_at=NOON)
            if job.job_id in started
            else job
            for job in jobs
        ]
        workloads += [Workload(job_id, EXITED) for job_id in started]
    assert len(workloads) == 2 + 4
