"""The plan: a preloaded world in, the exact list of actions out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.job import JobStatus, Outcome, Reason, ResourceLimits
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.reconcile.plan import (
    CANCELLED,
    LOST,
    Finish,
    Follow,
    Limits,
    Remove,
    Retry,
    Start,
    Stop,
    plan,
    plan_without_engine,
)
from ci_controller.running.outcome import EndFacts, deadline, outcome
from support.jobs import NOON, a_job

LIMITS = Limits(max_concurrent_jobs=2, max_jobs_per_tenant=None, missing_grace_seconds=6.0)

QUEUED = a_job(JobStatus.QUEUED, job_id="queued")
SECOND = a_job(JobStatus.QUEUED, job_id="second")
THIRD = a_job(JobStatus.QUEUED, job_id="third")
INITIALIZING = a_job(JobStatus.INITIALIZING, job_id="initializing")
RUNNING = a_job(JobStatus.RUNNING, job_id="running", started_at=NOON, timeout=60)
PERSISTENT = replace(RUNNING, spec=replace(RUNNING.spec, retries=1))
SECOND_START = replace(PERSISTENT, status=JobStatus.INITIALIZING, attempt=2, started_at=None)
SECOND_RUN = replace(PERSISTENT, attempt=2)


def cancelled(job):
    return replace(job, cancel_requested_at=NOON)


def workload(job, state=WorkloadState.RUNNING, attempt=None):
    return Workload(job.job_id, state, attempt=attempt or job.attempt)


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
        [Start(QUEUED), Follow(RUNNING)],
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
    "lost_with_retries_left": ([PERSISTENT], [], {"running": 6.0}, 0, [Retry(PERSISTENT)]),
    "lost_with_retries_left_but_not_yet": ([PERSISTENT], [], {"running": 5.9}, 0, []),
    "lost_and_cancelled_is_not_tried_again": (
        [cancelled(PERSISTENT)],
        [],
        {"running": 6.0},
        0,
        [Finish(cancelled(PERSISTENT), CANCELLED)],
    ),
    "retries_used_up": ([SECOND_RUN], [], {"running": 6.0}, 0, [Finish(SECOND_RUN, LOST)]),
    "ended_by_itself_is_not_tried_again": (
        [PERSISTENT],
        [Workload("running", EXITED, exit_code=1)],
        {},
        0,
        [Follow(PERSISTENT)],
    ),
    "the_next_attempt_starts": ([SECOND_START], [], {}, 0, [Start(SECOND_START)]),
    "the_next_attempt_cancelled_ends": (
        [cancelled(SECOND_START)],
        [],
        {},
        0,
        [Finish(cancelled(SECOND_START), CANCELLED)],
    ),
    "the_next_attempt_replaces_what_is_left_of_the_one_before": (
        [SECOND_START],
        [workload(SECOND_START, attempt=1)],
        {},
        0,
        [Start(SECOND_START)],
    ),
    "the_next_attempt_takes_no_result_of_the_one_before": (
        [SECOND_START],
        [workload(SECOND_START, EXITED, attempt=1)],
        {},
        0,
        [Start(SECOND_START)],
    ),
    "the_next_attempt_cancelled_with_the_former_workload_ends": (
        [cancelled(SECOND_START)],
        [workload(SECOND_START, attempt=1)],
        {},
        0,
        [Finish(cancelled(SECOND_START), CANCELLED)],
    ),
    "the_next_attempt_is_adopted": (
        [SECOND_START],
        [workload(SECOND_START)],
        {},
        0,
        [Follow(SECOND_START)],
    ),
    "running_with_a_workload_of_another_attempt_misses_its_own": (
        [SECOND_RUN],
        [workload(SECOND_RUN, attempt=1)],
        {"running": 6.0},
        0,
        [Finish(SECOND_RUN, LOST)],
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
    running = {job.job_id: float(seconds) for job in jobs if job.started_at is not None}
    assert plan(jobs, workloads, missing, running, LIMITS) == actions


def test_without_the_engine_only_queued_jobs_are_cancelled():
    jobs = [QUEUED, cancelled(SECOND), cancelled(INITIALIZING), cancelled(RUNNING), RUNNING]
    assert plan_without_engine(jobs) == [Finish(cancelled(SECOND), CANCELLED)]


def test_a_job_whose_running_time_is_not_known_yet_is_not_stopped():
    assert plan([RUNNING], [workload(RUNNING)], {}, {}, LIMITS) == [Follow(RUNNING)]


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


def set_forward(*, by=timedelta(days=3)):
    """What is recorded of ten seconds in which the clock was set."""
    return ended(0, finished=END + by)


@pytest.mark.parametrize(
    ("job", "workload", "seen", "reason"),
    [
        (RUNNING, set_forward(), EndFacts(running_seconds=10.0), Reason.EXIT),
        (RUNNING, set_forward(), EndFacts(running_seconds=60.0), Reason.TIMEOUT),
        (RUNNING, set_forward(), EndFacts(), Reason.TIMEOUT),
        (RUNNING, ended(143), EndFacts(Reason.TIMEOUT, 61.0), Reason.TIMEOUT),
        (RUNNING, ended(0), EndFacts(running_seconds=3600.0), Reason.EXIT),
        (asked(11), ended(143), EndFacts(Reason.CANCELLED, 12.0), Reason.CANCELLED),
        (RUNNING, ended(143), EndFacts(Reason.CANCELLED, 12.0), Reason.EXIT),
    ],
    ids=[
        "forward",
        "forward_and_too_long",
        "forward_and_nobody_looked",
        "back_and_stopped_for_its_timeout",
        "the_end_was_recorded_late",
        "back_and_cancelled",
        "nobody_asked",
    ],
)
def test_what_was_seen_corrects_a_clock_that_was_set(job, workload, seen, reason):
    assert outcome(job, workload, seen=seen).reason is reason


def test_only_recorded_facts_decide_the_outcome():
    assert outcome(RUNNING, ended(3)) == Outcome(C, Reason.EXIT, "exited with code 3", 3)


def test_a_log_that_is_not_whole_is_told_unless_there_is_a_graver_reason():
    result = outcome(RUNNING, ended(3), 5000)
    assert (result.status, result.reason, result.exit_code) == (C, Reason.LOG_LIMIT, 3)
    assert "100 MiB" in result.message
    passed = outcome(RUNNING, ended(0), 5000)
    assert (passed.reason, passed.success) == (Reason.LOG_LIMIT, True)
    assert outcome(RUNNING, ended(137, oom_killed=True), 5000).reason is Reason.OOM
    assert outcome(RUNNING, ended(143, finished=LATE), 5000).reason is Reason.TIMEOUT
    assert outcome(asked(5), ended(143), 5000).reason is Reason.CANCELLED
