"""Which queued jobs start: tenants take turns, up to their caps; within a tenant the highest
priority is first, then first come, first served.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.job import JobStatus
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.reconcile.plan import Finish, Start, plan
from ci_controller.reconcile.world import PlanLimits, World
from support.jobs import NOON, a_job

RUNNING, QUEUED = JobStatus.RUNNING, JobStatus.QUEUED


def queue(*entries):
    """Jobs from texts such as `a1` (tenant and name), `a1 p9` (priority), `a1 running`."""
    jobs = []
    for number, entry in enumerate(entries):
        name, *facts = entry.split()
        job = a_job(
            RUNNING if "running" in facts else QUEUED,
            job_id=name,
            tenant=name[0],
            created_at=NOON + timedelta(seconds=number),
            started_at=NOON if "running" in facts else None,
            cancel_requested_at=NOON if "cancelled" in facts else None,
            priority=next((int(fact[1:]) for fact in facts if fact[0] == "p"), 5),
        )
        jobs.append(job)
    return jobs


def started(jobs, slots, per_tenant=None, turns=None):
    """The jobs that one tick starts, in order."""
    workloads = [
        Workload(job.job_id, WorkloadState.RUNNING) for job in jobs if job.status is RUNNING
    ]
    actions = plan(World(PlanLimits(slots, per_tenant, 6.0), jobs, workloads, turns=turns or {}))
    return [action.job.job_id for action in actions if isinstance(action, Start)]


# name: queue, slots, cap of a tenant, order of last turns -> started
QUEUES = {
    "first_come_first_served": (["a1", "a2", "a3"], 2, None, "", ["a1", "a2"]),
    "priority_first": (["a1", "a2 p9", "a3 p10"], 2, None, "", ["a3", "a2"]),
    "zero_comes_last": (["a1 p0", "a2 p1", "a3"], 3, None, "", ["a3", "a2", "a1"]),
    "first_come_within_a_priority": (["a1 p9", "a2", "a3 p9"], 3, None, "", ["a1", "a3", "a2"]),
    "tenants_take_turns": (["a1", "a2", "a3", "b1", "b2"], 4, None, "", ["a1", "b1", "a2", "b2"]),
    "fewest_under_way_first": (["a1 running", "a2", "b1"], 2, None, "", ["b1"]),
    "and_so_on": (
        ["a1 running", "a2 running", "b1 running", "a3", "b2", "c1"],
        5,
        None,
        "",
        ["c1", "b2"],
    ),
    "priority_takes_no_turn_of_others": (["a1 running", "a2 p10", "b1 p0"], 2, None, "", ["b1"]),
    "priority_does_not_prolong_a_turn": (
        ["a1 p10", "a2 p10", "b1 p0", "b2 p0"],
        3,
        None,
        "ab",
        ["a1", "b1", "a2"],
    ),
    "priority_within_each_tenant": (
        ["a1", "a2 p9", "b1 p1", "b2 p2"],
        4,
        None,
        "ab",
        ["a2", "b2", "a1", "b1"],
    ),
    "the_oldest_turn_beats_priority": (["a1 p10", "b1 p0"], 1, None, "ba", ["b1"]),
    "a_cap": (["a1 running", "a2", "a3", "b1"], 4, 2, "", ["b1", "a2"]),
    "a_cap_beats_priority": (["a1 running", "a2 p10", "b1 p0"], 4, 1, "", ["b1"]),
    "a_cap_leaves_slots_free": (["a1", "a2", "a3"], 4, 1, "", ["a1"]),
    "a_cap_that_is_exceeded": (["a1 running", "a2 running", "a3"], 4, 1, "", []),
    "cancelled_takes_no_slot": (["a1 cancelled", "a2"], 1, None, "", ["a2"]),
    "cancelled_counts_for_no_cap": (["a1 cancelled", "a2", "a3"], 2, 1, "", ["a2"]),
    "no_slot": (["a1 running", "b1 running", "c1"], 2, None, "", []),
    "fewer_slots_than_before": (["a1 running", "b1 running", "c1"], 1, None, "", []),
    "oldest_turn_first": (["a1", "b1", "c1"], 2, None, "abc", ["a1", "b1"]),
    "an_old_queue_does_not_keep_the_slot": (["a1", "a2", "b1"], 1, None, "ba", ["b1"]),
    "never_served_first": (["a1", "b1", "c1"], 1, None, "ab", ["c1"]),
    "fewest_under_way_beats_turns": (["a1 running", "a2", "b1"], 2, None, "ab", ["b1"]),
    "turns_go_on_within_a_tick": (
        ["a1", "a2", "b1", "b2"],
        4,
        None,
        "ab",
        ["a1", "b1", "a2", "b2"],
    ),
}


@pytest.mark.parametrize("case", QUEUES)
def test_queue(case):
    entries, slots, per_tenant, served, expected = QUEUES[case]
    turns = {tenant: number for number, tenant in enumerate(served, start=1)}
    assert started(queue(*entries), slots, per_tenant, turns) == expected


def test_cancelled_queued_jobs_end_without_a_slot():
    (job,) = queue("a1 cancelled")
    (action,) = plan(World(PlanLimits(0, None, 6.0), [job]))
    assert isinstance(action, Finish)


jobs_of_tenants = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from([0, 5, 10]), st.sampled_from([QUEUED, RUNNING])
    ),
    max_size=12,
)


def jobs_from(entries):
    """Jobs from tenant, priority and status; the id is the place in the list."""
    return [
        replace(
            a_job(status, job_id=str(number), tenant=tenant, priority=priority), started_at=NOON
        )
        for number, (tenant, priority, status) in enumerate(entries)
    ]


@settings(deadline=None)
@given(
    entries=jobs_of_tenants,
    slots=st.integers(0, 6),
    cap=st.none() | st.integers(1, 3),
    data=st.data(),
)
def test_caps_hold_no_slot_is_wasted_and_nobody_is_passed_over(entries, slots, cap, data):
    jobs = jobs_from(entries)
    turns = data.draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)))
    begun = [jobs[int(job_id)] for job_id in started(jobs, slots, cap, turns)]
    assert len(set(map(id, begun))) == len(begun)
    waiting = [job for job in jobs if job.status is QUEUED and job not in begun]
    under_way = [job for job in jobs if job.status is RUNNING] + begun

    def count(tenant):
        return sum(job.tenant == tenant for job in under_way)

    if begun:
        assert len(under_way) <= slots
        assert cap is None or all(count(job.tenant) <= cap for job in begun)
    if len(under_way) < slots:
        assert all(cap is not None and count(job.tenant) >= cap for job in waiting)
    for job in begun:
        for other in waiting:
            if cap is not None and count(other.tenant) >= cap:
                continue
            # Before this one started, the other's tenant had no fewer under way.
            assert count(other.tenant) >= count(job.tenant) - 1


@settings(deadline=None)
@given(entries=jobs_of_tenants, slots=st.integers(0, 6), cap=st.none() | st.integers(1, 3))
def test_a_tenants_own_jobs_start_by_priority_and_then_first_come(entries, slots, cap):
    jobs = jobs_from(entries)
    begun = [jobs[int(job_id)] for job_id in started(jobs, slots, cap)]
    for tenant in "abc":
        own = [job for job in jobs if job.tenant == tenant and job.status is QUEUED]
        own.sort(key=lambda job: -job.spec.priority)  # stable: first come stays first
        of_tenant = [job for job in begun if job.tenant == tenant]
        assert of_tenant == own[: len(of_tenant)]


@settings(deadline=None)
@given(
    entries=jobs_of_tenants,
    others=st.lists(st.integers(0, 10), min_size=12, max_size=12),
    slots=st.integers(0, 6),
    cap=st.none() | st.integers(1, 3),
    order=st.permutations("abc"),
)
def test_priorities_do_not_change_whose_turn_it_is(entries, others, slots, cap, order):
    turns = {tenant: number for number, tenant in enumerate(order, start=1)}
    jobs = jobs_from(entries)
    changed = jobs_from(
        (tenant, priority, status)
        for (tenant, _, status), priority in zip(entries, others, strict=False)
    )

    def tenants(jobs):
        return [jobs[int(job_id)].tenant for job_id in started(jobs, slots, cap, turns)]

    assert tenants(changed) == tenants(jobs)


@settings(deadline=None)
@given(slots=st.integers(1, 3), cap=st.none() | st.integers(1, 2), data=st.data())
def test_no_tenant_waits_for_ever(slots, cap, data):
    """However many jobs others submit, of whatever priority, and whichever ends next: a tenant
    that has a job waiting and none under way is served before anybody else has had two turns.
    """
    tenants = "abcd"
    jobs, turns, passed_over = [], {}, dict.fromkeys(tenants, 0)

    def submit(tenant):
        created = NOON + timedelta(seconds=len(jobs))
        priority = data.draw(st.integers(0, 10))
        jobs.append(
            a_job(job_id=str(len(jobs)), tenant=tenant, created_at=created, priority=priority)
        )

    def tick():
        live = [job for job in jobs if job is not None]
        for job_id in started(live, slots, cap, turns):
            job = jobs[int(job_id)]
            idle = {one.tenant for one in live if one.status is QUEUED} - {
                one.tenant for one in jobs if one is not None and one.status is RUNNING
            }
            for tenant in idle - {job.tenant}:
                passed_over[tenant] += 1
                assert passed_over[tenant] < len(tenants)
            passed_over[job.tenant] = 0
            jobs[int(job_id)] = replace(job, status=RUNNING, started_at=NOON)
            turns[job.tenant] = max(turns.values(), default=0) + 1

    for _ in range(data.draw(st.integers(0, 30))):  # a queue from before
        submit("a")
    for _ in range(data.draw(st.integers(1, 40))):
        submit(data.draw(st.sampled_from(tenants)))
        tick()
        running = [at for at, job in enumerate(jobs) if job is not None and job.status is RUNNING]
        if running and data.draw(st.booleans()):
            jobs[data.draw(st.sampled_from(running))] = None
            tick()
