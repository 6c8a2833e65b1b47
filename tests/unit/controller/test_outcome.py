"""How a job ended: a function of recorded facts, and of what was seen."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.job import JobStatus, Outcome, Reason, ResourceLimits
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.running.outcome import EndFacts, deadline, outcome
from support.jobs import NOON, a_job

EXITED = WorkloadState.EXITED
RUNNING = a_job(JobStatus.RUNNING, job_id="running", started_at=NOON, timeout=60)


def test_an_absurd_timeout_has_a_deadline():
    """It must not raise: that would stop the reconciling of all jobs."""
    job = a_job(JobStatus.RUNNING, timeout=float("inf"), started_at=NOON)
    assert deadline(job, NOON) > NOON + timedelta(days=365)


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


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (127, "exited with code 127"),
        (128, "exited with code 128"),
        (137, "exited with code 137 (SIGKILL)"),
        (139, "exited with code 139 (SIGSEGV)"),
        (255, "exited with code 255"),
    ],
)
def test_signals_are_named(code, told):
    assert outcome(RUNNING, ended(code)).message == told


def test_a_bus_error_is_explained():
    assert "(SIGBUS: /dev/shm may be full; raise `shm` in " in outcome(RUNNING, ended(135)).message


def test_a_log_that_is_not_whole_is_told_unless_there_is_a_graver_reason():
    result = outcome(RUNNING, ended(3), 5000)
    assert (result.status, result.reason, result.exit_code) == (C, Reason.LOG_LIMIT, 3)
    assert "100 MiB" in result.message
    passed = outcome(RUNNING, ended(0), 5000)
    assert (passed.reason, passed.success) == (Reason.LOG_LIMIT, True)
    assert outcome(RUNNING, ended(137, oom_killed=True), 5000).reason is Reason.OOM
    assert outcome(RUNNING, ended(143, finished=LATE), 5000).reason is Reason.TIMEOUT
    assert outcome(asked(5), ended(143), 5000).reason is Reason.CANCELLED
