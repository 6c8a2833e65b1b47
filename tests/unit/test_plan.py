"""The plan: a preloaded world in, the exact list of actions out."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.job import TRANSITIONS, JobStatus, Outcome, Reason, ResourceLimits
from ci_common.ports import Workload, WorkloadState
from ci_controller.plan import (
    CANCELLED,
    LOST,
    Finish,
    Follow,
    Limits,
    Remove,
    Start,
    Stop,
    deadline,
    outcome,
    plan,
    plan_without_engine,
)
from support.jobs import NOON, a_job

LIMITS = Limits(max_concurrent_jobs=2, missing_grace_seconds=6.0)

QUEUED = a_job(JobStatus.QUEUED, job_id="queued")
SECOND = a_job(JobStatus.QUEUED, job_id="second")
THIRD = a_job(JobStatus.QUEUED, job_id="third")
INITIALIZING = a_job(JobStatus.INITIALIZING, job_id="initializing")
RUNNING = a_job(JobStatus.RUNNING, job_id="running", started_at=NOON, timeout=60)


def cancelled(job):
    return replace(job, cancel_requested_at=NOON)


def workload(job, state=WorkloadState.RUNNING):
    return Workload(job.job_id, state)


CREATED, EXITED = WorkloadState.CREATED, WorkloadState.EXITED
STRAY = Workload("stray", WorkloadState.RUNNING)

# name: jobs, workloads, seconds the workload has been missing by job, seconds after noon -> actions
WORLDS = {
    "nothing": ([], [], {}, 0, []),
    "queued_starts": ([QUEUED], [], {}, 0, [Start(QUEUED)]),
    "first_come_first": ([QUEUED, SECOND, THIRD], [], {}, 0, [Start(QUEUED), Start(SECOND)]),
    "no_slot_is_free": (
        [INITIALIZING, RUNNING, QUEUED],
        [workload(RUNNING)],
        {},
        0,
        [Start(INITIALIZING), Follow(RUNNING)],
    ),
    "one_slot_is_free": (
        [RUNNING, QUEUED, SECOND],
        [workload(RUNNING)],
        {},
        0,
        [Follow(RUNNING), Start(QUEUED)],
    ),
    "more_claimed_than_slots": (
        [INITIALIZING, RUNNING, replace(RUNNING, job_id="other"), QUEUED],
        [workload(RUNNING), Workload("other", WorkloadState.RUNNING)],
        {},
        0,
        [Start(INITIALIZING), Follow(RUNNING), Follow(replace(RUNNING, job_id="other"))],
    ),
    "queued_cancelled_ends": (
        [cancelled(QUEUED)],
        [],
        {},
        0,
        [Finish(cancelled(QUEUED), CANCELLED)],
    ),
    "queued_cancelled_takes_no_slot": (
        [cancelled(QUEUED), SECOND, THIRD],
        [],
        {},
        0,
        [Finish(cancelled(QUEUED), CANCELLED), Start(SECOND), Start(THIRD)],
    ),
    "initializing_starts_again": ([INITIALIZING], [], {}, 0, [Start(INITIALIZING)]),
    "created_but_not_started_starts_again": (
        [INITIALIZING],
        [workload(INITIALIZING, CREATED)],
        {},
        0,
        [Start(INITIALIZING)],
    ),
    "initializing_with_a_started_workload_is_adopted": (
        [INITIALIZING],
        [workload(INITIALIZING)],
        {},
        0,
        [Follow(INITIALIZING)],
    ),
    "initializing_with_an_exited_workload_is_adopted": (
        [INITIALIZING],
        [workload(INITIALIZING, EXITED)],
        {},
        0,
        [Follow(INITIALIZING)],
    ),
    "initializing_cancelled_ends": (
        [cancelled(INITIALIZING)],
        [],
        {},
        0,
        [Finish(cancelled(INITIALIZING), CANCELLED)],
    ),
    "initializing_cancelled_with_created_workload_ends": (
        [cancelled(INITIALIZING)],
        [workload(INITIALIZING, CREATED)],
        {},
        0,
        [Finish(cancelled(INITIALIZING), CANCELLED)],
    ),
    "initializing_cancelled_with_started_workload_is_stopped": (
        [cancelled(INITIALIZING)],
        [workload(INITIALIZING)],
        {},
        0,
        [Follow(cancelled(INITIALIZING)), Stop(cancelled(INITIALIZING), Reason.CANCELLED)],
    ),
    "running_is_followed": ([RUNNING], [workload(RUNNING)], {}, 0, [Follow(RUNNING)]),
    "exited_is_followed_to_its_end": (
        [RUNNING],
        [workload(RUNNING, EXITED)],
        {},
        0,
        [Follow(RUNNING)],
    ),
    "running_cancelled_is_stopped": (
        [cancelled(RUNNING)],
        [workload(RUNNING)],
        {},
        0,
        [Follow(cancelled(RUNNING)), Stop(cancelled(RUNNING), Reason.CANCELLED)],
    ),
    "exited_cancelled_is_not_stopped": (
        [cancelled(RUNNING)],
        [workload(RUNNING, EXITED)],
        {},
        0,
        [Follow(cancelled(RUNNING))],
    ),
    "a_moment_before_the_timeout": ([RUNNING], [workload(RUNNING)], {}, 59.9, [Follow(RUNNING)]),
    "timeout": (
        [RUNNING],
        [workload(RUNNING)],
        {},
        60,
        [Follow(RUNNING), Stop(RUNNING, Reason.TIMEOUT)],
    ),
    "exited_after_the_timeout_is_not_stopped": (
        [RUNNING],
        [workload(RUNNING, EXITED)],
        {},
        100,
        [Follow(RUNNING)],
    ),
    "missing_but_never_noted": ([RUNNING], [], {}, 0, []),
    "missing_for_a_moment": ([RUNNING], [], {"running": 5.9}, 0, []),
    "missing_for_good": ([RUNNING], [], {"running": 6.0}, 0, [Finish(RUNNING, LOST)]),
    "running_but_only_created_for_good": (
        [RUNNING],
        [workload(RUNNING, CREATED)],
        {"running": 6.0},
        0,
        [Finish(RUNNING, LOST)],
    ),
    "stray_workload_is_removed": ([], [STRAY], {}, 0, [Remove("stray")]),
    "strays_in_every_state_are_removed": (
        [RUNNING],
        [Workload("a", CREATED), workload(RUNNING), Workload("b", EXITED)],
        {},
        0,
        [Remove("a"), Remove("b"), Follow(RUNNING)],
    ),
}


@pytest.mark.parametrize("world", WORLDS)
def test_plan(world):
    jobs, workloads, missing, seconds, actions = WORLDS[world]
    now = NOON + timedelta(seconds=seconds)
    since = {
        job_id: now - timedelta(seconds=for_so_long) for job_id, for_so_long in missing.items()
    }
    assert plan(jobs, workloads, since, now, LIMITS) == actions


def test_without_the_engine_only_queued_jobs_are_cancelled():
    jobs = [QUEUED, cancelled(SECOND), cancelled(INITIALIZING), cancelled(RUNNING), RUNNING]
    assert plan_without_engine(jobs) == [Finish(cancelled(SECOND), CANCELLED)]


def test_an_absurd_timeout_has_a_deadline():
    """It must not raise: that would stop the reconciling of all jobs."""
    job = a_job(JobStatus.RUNNING, timeout=float("inf"), started_at=NOON)
    assert deadline(job, NOON) > NOON + timedelta(days=365)


# ------------------------------------------------------------------ the outcome

START, END = NOON, NOON + timedelta(seconds=10)
LATE = NOON + timedelta(seconds=60)


def ended(code=0, *, started=START, finished=END, oom_killed=False):
    return Workload(
        "running",
        EXITED,
        exit_code=code,
        oom_killed=oom_killed,
        started_at=started,
        finished_at=finished,
    )


def asked(seconds):
    return replace(RUNNING, cancel_requested_at=NOON + timedelta(seconds=seconds))


C, F, X = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED

OUTCOMES = {
    "passed": (RUNNING, ended(0), C, Reason.EXIT, 0),
    "failed_tests": (RUNNING, ended(1), C, Reason.EXIT, 1),
    "killed_by_a_signal": (RUNNING, ended(137), C, Reason.EXIT, 137),
    "out_of_memory": (RUNNING, ended(137, oom_killed=True), C, Reason.OOM, 137),
    "out_of_memory_in_a_child_but_passed": (RUNNING, ended(0, oom_killed=True), C, Reason.EXIT, 0),
    "timeout": (RUNNING, ended(143, finished=LATE), F, Reason.TIMEOUT, 143),
    "timeout_though_it_exited_with_0": (RUNNING, ended(0, finished=LATE), F, Reason.TIMEOUT, 0),
    "timeout_before_out_of_memory": (
        RUNNING,
        ended(137, finished=LATE, oom_killed=True),
        F,
        Reason.TIMEOUT,
        137,
    ),
    "cancelled": (asked(5), ended(143), X, Reason.CANCELLED, 143),
    "cancelled_in_the_last_moment": (asked(10), ended(0), X, Reason.CANCELLED, 0),
    "cancelled_too_late": (asked(11), ended(0), C, Reason.EXIT, 0),
    "cancelled_and_timed_out": (asked(5), ended(143, finished=LATE), X, Reason.CANCELLED, 143),
    "cancelled_and_end_unknown": (
        asked(5),
        ended(143, finished=None),
        X,
        Reason.CANCELLED,
        143,
    ),
    "end_unknown": (RUNNING, ended(0, finished=None), C, Reason.EXIT, 0),
    "start_known_from_the_row_only": (
        RUNNING,
        ended(0, started=None, finished=LATE),
        F,
        Reason.TIMEOUT,
        0,
    ),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcome(case):
    job, workload, status, reason, code = OUTCOMES[case]
    result = outcome(job, workload)
    assert (result.status, result.reason, result.exit_code) == (status, reason, code)
    assert result.success is (status is C and code == 0)


def test_messages_name_the_limits():
    limits = ResourceLimits(timeout_seconds=1.5, memory_mb=64)
    job = a_job(JobStatus.RUNNING, limits=limits, started_at=NOON)
    soon = NOON + timedelta(seconds=1)
    assert "64 MiB" in outcome(job, ended(137, finished=soon, oom_killed=True)).message
    assert "1.5 s" in outcome(job, ended(137, finished=LATE)).message


# ------------------------------------------------------------------ simulated worlds


class Simulation:
    """Applies a plan to both worlds, the way the controller does, some of it failing."""

    def __init__(self, jobs, workloads, limits):
        self.jobs = {job.job_id: job for job in jobs}
        self.workloads = {workload.job_id: workload for workload in workloads}
        self.missing = {}
        self.now = NOON
        self.limits = limits

    def live(self):
        return [job for job in self.jobs.values() if not job.status.is_terminal]

    def tick(self, fails=lambda: False):
        self.now += timedelta(seconds=2)
        started = {job_id for job_id, seen in self.workloads.items() if seen.state is not CREATED}
        self.missing = {
            job.job_id: self.missing.get(job.job_id, self.now)
            for job in self.live()
            if job.status is JobStatus.RUNNING and job.job_id not in started
        }
        actions = plan(
            self.live(), list(self.workloads.values()), self.missing, self.now, self.limits
        )
        for action in actions:
            if not fails():
                self.apply(action)
        return actions

    def apply(self, action):
        match action:
            case Start(job):
                self.move(job, JobStatus.INITIALIZING)
                self.workloads[job.job_id] = Workload(
                    job.job_id, WorkloadState.RUNNING, started_at=self.now
                )
                self.move(job, JobStatus.RUNNING, started_at=self.now)
            case Follow(job):
                seen = self.workloads[job.job_id]
                if job.status is JobStatus.INITIALIZING:
                    self.move(job, JobStatus.RUNNING, started_at=self.now)
                if seen.state is EXITED:
                    self.finish(job, outcome(self.jobs[job.job_id], seen))
            case Stop(job, _):
                self.exit(job.job_id, 143)
            case Finish(job, result):
                self.finish(job, result)
            case Remove(job_id):
                del self.workloads[job_id]

    def exit(self, job_id, code):
        seen = self.workloads.get(job_id)
        if seen is not None and seen.state is WorkloadState.RUNNING:
            self.workloads[job_id] = replace(
                seen, state=EXITED, exit_code=code, finished_at=self.now
            )

    def finish(self, job, result):
        self.move(job, result.status, outcome=result)
        self.workloads.pop(job.job_id, None)

    def move(self, job, target, **facts):
        now = self.jobs[job.job_id]
        if now.status is not target:
            assert target in TRANSITIONS[now.status], f"{now.status} -> {target}"
        self.jobs[job.job_id] = replace(now, status=target, **facts)


@st.composite
def worlds(draw):
    statuses = st.sampled_from([JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING])
    states = st.sampled_from([None, CREATED, WorkloadState.RUNNING, EXITED])
    jobs, workloads = [], []
    for number in range(draw(st.integers(0, 6))):
        status = draw(statuses)
        job = a_job(
            status,
            job_id=str(number),
            timeout=draw(st.sampled_from([3.0, 3600.0])),
            started_at=NOON if status is JobStatus.RUNNING else None,
            cancel_requested_at=draw(st.sampled_from([None, NOON])),
        )
        jobs.append(job)
        # A queued job has no workload: its claim comes before its launch.
        state = None if status is JobStatus.QUEUED else draw(states)
        if state is not None:
            code, end = (0, NOON) if state is EXITED else (None, None)
            workloads.append(Workload(job.job_id, state, 0, code, False, NOON, end))
    if draw(st.booleans()):
        workloads.append(STRAY)
    return Simulation(jobs, workloads, Limits(draw(st.integers(1, 3)), 6.0))


@given(world=worlds(), data=st.data())
def test_worlds_converge_and_jobs_never_move_backwards(world, data):
    """However much fails for a while, in the end all jobs are terminal and nothing is left."""
    claimed_before = len([job for job in world.live() if job.status is not JobStatus.QUEUED])
    for _ in range(data.draw(st.integers(0, 5))):
        world.tick(fails=lambda: data.draw(st.booleans()))
    for _ in range(60):
        actions = world.tick()
        claimed = [job for job in world.live() if job.status is not JobStatus.QUEUED]
        assert len(claimed) <= max(world.limits.max_concurrent_jobs, claimed_before)
        assert all(actions.count(action) == 1 for action in actions), "the same action twice"
        for job in claimed:
            if job.spec.limits.timeout_seconds > 100:
                world.exit(job.job_id, 0)
        if not world.live() and not world.workloads:
            break
    assert world.live() == []
    assert world.workloads == {}
    assert world.tick() == [], "a converged world needs nothing"


@given(world=worlds())
def test_the_plan_changes_nothing_and_repeats_itself(world):
    arguments = (world.live(), list(world.workloads.values()), {}, NOON, world.limits)
    assert plan(*arguments) == plan(*arguments)


def test_only_recorded_facts_decide_the_outcome():
    assert outcome(RUNNING, ended(3)) == Outcome(C, Reason.EXIT, "exited with code 3", 3)
