"""The plan: a preloaded world in, the exact list of actions out."""

from dataclasses import dataclass, field, replace

import pytest

from ci_common.job import BegunFailure, Job, JobStatus, Outcome, Reason
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.reconcile.plan import (
    CANCELLED,
    LOST,
    Finish,
    Follow,
    Hurry,
    Remove,
    Retry,
    Start,
    Stop,
    key,
    plan,
)
from ci_controller.reconcile.world import Launched, PlanLimits, RunState, World
from support.jobs import NOON, a_job

LIMITS = PlanLimits(max_concurrent_jobs=2, max_jobs_per_tenant=None, missing_grace_seconds=6.0)

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


@dataclass(frozen=True)
class Case:
    """A world, and the actions it asks for."""

    actions: list
    jobs: list = field(default_factory=list)
    workloads: list = field(default_factory=list)
    missing: dict = field(default_factory=dict)
    """For how many seconds the workload has not been seen, by job."""
    seconds: float = 0
    """After noon, when the running jobs were started."""

    def world(self, **facts):
        running = {job.job_id: float(self.seconds) for job in self.jobs if job.started_at}
        return World(
            LIMITS, self.jobs, self.workloads, missing=self.missing, running=running, **facts
        )


WORLDS = {
    "nothing": Case(actions=[]),
    "queued_starts": Case(jobs=[QUEUED], actions=[Start(QUEUED)]),
    "first_come_first": Case(jobs=[QUEUED, SECOND, THIRD], actions=[Start(QUEUED), Start(SECOND)]),
    "no_slot_is_free": Case(
        jobs=[INITIALIZING, RUNNING, QUEUED],
        workloads=[workload(RUNNING)],
        actions=[Start(INITIALIZING), Follow(RUNNING)],
    ),
    "one_slot_is_free": Case(
        jobs=[RUNNING, QUEUED, SECOND],
        workloads=[workload(RUNNING)],
        actions=[Start(QUEUED), Follow(RUNNING)],
    ),
    "more_claimed_than_slots": Case(
        jobs=[INITIALIZING, RUNNING, replace(RUNNING, job_id="other"), QUEUED],
        workloads=[workload(RUNNING), Workload("other", WorkloadState.RUNNING)],
        actions=[Start(INITIALIZING), Follow(RUNNING), Follow(replace(RUNNING, job_id="other"))],
    ),
    "queued_cancelled_ends": Case(
        jobs=[cancelled(QUEUED)], actions=[Finish(cancelled(QUEUED), CANCELLED)]
    ),
    "queued_cancelled_takes_no_slot": Case(
        jobs=[cancelled(QUEUED), SECOND, THIRD],
        actions=[Finish(cancelled(QUEUED), CANCELLED), Start(SECOND), Start(THIRD)],
    ),
    "initializing_starts_again": Case(jobs=[INITIALIZING], actions=[Start(INITIALIZING)]),
    "created_but_not_started_starts_again": Case(
        jobs=[INITIALIZING],
        workloads=[workload(INITIALIZING, CREATED)],
        actions=[Start(INITIALIZING)],
    ),
    "initializing_with_a_started_workload_is_adopted": Case(
        jobs=[INITIALIZING], workloads=[workload(INITIALIZING)], actions=[Follow(INITIALIZING)]
    ),
    "initializing_with_an_exited_workload_is_adopted": Case(
        jobs=[INITIALIZING],
        workloads=[workload(INITIALIZING, EXITED)],
        actions=[Follow(INITIALIZING)],
    ),
    "initializing_cancelled_ends": Case(
        jobs=[cancelled(INITIALIZING)], actions=[Finish(cancelled(INITIALIZING), CANCELLED)]
    ),
    "initializing_cancelled_with_created_workload_ends": Case(
        jobs=[cancelled(INITIALIZING)],
        workloads=[workload(INITIALIZING, CREATED)],
        actions=[Finish(cancelled(INITIALIZING), CANCELLED)],
    ),
    "initializing_cancelled_with_started_workload_is_stopped": Case(
        jobs=[cancelled(INITIALIZING)],
        workloads=[workload(INITIALIZING)],
        actions=[Follow(cancelled(INITIALIZING)), Stop(cancelled(INITIALIZING), Reason.CANCELLED)],
    ),
    "running_is_followed": Case(
        jobs=[RUNNING], workloads=[workload(RUNNING)], actions=[Follow(RUNNING)]
    ),
    "exited_is_followed_to_its_end": Case(
        jobs=[RUNNING], workloads=[workload(RUNNING, EXITED)], actions=[Follow(RUNNING)]
    ),
    "running_cancelled_is_stopped": Case(
        jobs=[cancelled(RUNNING)],
        workloads=[workload(RUNNING)],
        actions=[Follow(cancelled(RUNNING)), Stop(cancelled(RUNNING), Reason.CANCELLED)],
    ),
    "exited_cancelled_is_not_stopped": Case(
        jobs=[cancelled(RUNNING)],
        workloads=[workload(RUNNING, EXITED)],
        actions=[Follow(cancelled(RUNNING))],
    ),
    "a_moment_before_the_timeout": Case(
        jobs=[RUNNING], workloads=[workload(RUNNING)], seconds=59.9, actions=[Follow(RUNNING)]
    ),
    "timeout": Case(
        jobs=[RUNNING],
        workloads=[workload(RUNNING)],
        seconds=60,
        actions=[Follow(RUNNING), Stop(RUNNING, Reason.TIMEOUT)],
    ),
    "exited_after_the_timeout_is_not_stopped": Case(
        jobs=[RUNNING],
        workloads=[workload(RUNNING, EXITED)],
        seconds=100,
        actions=[Follow(RUNNING)],
    ),
    "missing_but_never_noted": Case(jobs=[RUNNING], actions=[]),
    "missing_for_a_moment": Case(jobs=[RUNNING], missing={"running": 5.9}, actions=[]),
    "missing_for_good": Case(
        jobs=[RUNNING], missing={"running": 6.0}, actions=[Finish(RUNNING, LOST)]
    ),
    "running_but_only_created_for_good": Case(
        jobs=[RUNNING],
        workloads=[workload(RUNNING, CREATED)],
        missing={"running": 6.0},
        actions=[Finish(RUNNING, LOST)],
    ),
    "lost_with_retries_left": Case(
        jobs=[PERSISTENT], missing={"running": 6.0}, actions=[Retry(PERSISTENT)]
    ),
    "lost_with_retries_left_but_not_yet": Case(
        jobs=[PERSISTENT], missing={"running": 5.9}, actions=[]
    ),
    "lost_and_cancelled_is_not_tried_again": Case(
        jobs=[cancelled(PERSISTENT)],
        missing={"running": 6.0},
        actions=[Finish(cancelled(PERSISTENT), CANCELLED)],
    ),
    "retries_used_up": Case(
        jobs=[SECOND_RUN], missing={"running": 6.0}, actions=[Finish(SECOND_RUN, LOST)]
    ),
    "ended_by_itself_is_not_tried_again": Case(
        jobs=[PERSISTENT],
        workloads=[Workload("running", EXITED, exit_code=1)],
        actions=[Follow(PERSISTENT)],
    ),
    "the_next_attempt_starts": Case(jobs=[SECOND_START], actions=[Start(SECOND_START)]),
    "the_next_attempt_cancelled_ends": Case(
        jobs=[cancelled(SECOND_START)], actions=[Finish(cancelled(SECOND_START), CANCELLED)]
    ),
    "the_next_attempt_replaces_what_is_left_of_the_one_before": Case(
        jobs=[SECOND_START],
        workloads=[workload(SECOND_START, attempt=1)],
        actions=[Start(SECOND_START)],
    ),
    "the_next_attempt_takes_no_result_of_the_one_before": Case(
        jobs=[SECOND_START],
        workloads=[workload(SECOND_START, EXITED, attempt=1)],
        actions=[Start(SECOND_START)],
    ),
    "the_next_attempt_cancelled_with_the_former_workload_ends": Case(
        jobs=[cancelled(SECOND_START)],
        workloads=[workload(SECOND_START, attempt=1)],
        actions=[Finish(cancelled(SECOND_START), CANCELLED)],
    ),
    "the_next_attempt_is_adopted": Case(
        jobs=[SECOND_START], workloads=[workload(SECOND_START)], actions=[Follow(SECOND_START)]
    ),
    "running_with_a_workload_of_another_attempt_misses_its_own": Case(
        jobs=[SECOND_RUN],
        workloads=[workload(SECOND_RUN, attempt=1)],
        missing={"running": 6.0},
        actions=[Finish(SECOND_RUN, LOST)],
    ),
    "stray_workload_is_removed": Case(workloads=[STRAY], actions=[Remove("stray")]),
    "strays_in_every_state_are_removed": Case(
        jobs=[RUNNING],
        workloads=[Workload("a", CREATED), workload(RUNNING), Workload("b", EXITED)],
        actions=[Remove("a"), Remove("b"), Follow(RUNNING)],
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_plan(name):
    assert plan(WORLDS[name].world()) == WORLDS[name].actions


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_under_way_is_not_planned_again(name):
    """A tick after the actions of the one before were begun, and none of them has ended."""
    case = WORLDS[name]
    begun = {key(action) for action in case.actions}
    runs = {
        action.job.job_id: RunState(launched=isinstance(action, Follow), ending=False)
        for action in case.actions
        if isinstance(action, Start | Follow)
    }
    again = plan(case.world(under_way=begun, runs=runs))
    assert all(isinstance(action, Start | Hurry) for action in again)
    assert not {key(action) for action in again} & begun


@pytest.mark.parametrize("name", WORLDS)
def test_what_rests_is_left_alone(name):
    case = WORLDS[name]
    for action in case.actions:
        rest = [one for one in case.actions if one != action]
        assert plan(case.world(resting={key(action)})) == rest


@pytest.mark.parametrize("name", WORLDS)
def test_a_disturbed_engine_is_given_nothing_to_start(name):
    case = WORLDS[name]
    rest = [action for action in case.actions if not isinstance(action, Start)]
    assert plan(case.world(engine_starts=False)) == rest


@pytest.mark.parametrize("name", WORLDS)
def test_without_files_workloads_are_stopped_and_removed(name):
    """And jobs that were never begun end; the output of others waits in their workloads."""
    case = WORLDS[name]
    rest = [
        action
        for action in case.actions
        if isinstance(action, Stop | Remove)
        or (isinstance(action, Finish) and action.job.status is JobStatus.QUEUED)
    ]
    assert plan(case.world(has_files=False)) == rest


def test_without_the_engine_only_queued_jobs_are_cancelled():
    jobs = [QUEUED, cancelled(SECOND), cancelled(INITIALIZING), cancelled(RUNNING), RUNNING]
    assert plan(World(LIMITS, jobs, None)) == [Finish(cancelled(SECOND), CANCELLED)]


def test_a_job_whose_running_time_is_not_known_yet_is_not_stopped():
    assert plan(World(LIMITS, [RUNNING], [workload(RUNNING)])) == [Follow(RUNNING)]


LAUNCHING, LAUNCHED = RunState(launched=False, ending=False), RunState(launched=True, ending=False)
ENDING = RunState(launched=True, ending=True)
INTERNAL = Outcome(JobStatus.FAILED, Reason.INTERNAL, "")
FAILING = replace(RUNNING, failing=BegunFailure(INTERNAL, 0, 0))


@dataclass(frozen=True)
class UnderWay:
    """What one run does with a job, and what is planned all the same."""

    run: RunState
    job: Job
    workloads: list
    actions: list
    missing: dict = field(default_factory=dict)


UNDER_WAY = {
    "a_launch_is_cut_short_for_its_cancellation": UnderWay(
        LAUNCHING,
        cancelled(INITIALIZING),
        [workload(INITIALIZING, CREATED)],
        [Finish(cancelled(INITIALIZING), CANCELLED)],
    ),
    "one_that_has_been_launched_meanwhile_is_stopped_in_order": UnderWay(
        LAUNCHED, cancelled(INITIALIZING), [workload(INITIALIZING, CREATED)], []
    ),
    "and_stopped_once_its_workload_is_seen": UnderWay(
        LAUNCHED,
        cancelled(INITIALIZING),
        [workload(INITIALIZING)],
        [Stop(cancelled(INITIALIZING), Reason.CANCELLED)],
    ),
    "a_cancelled_job_does_not_wait_long_for_its_artifacts": UnderWay(
        LAUNCHED, cancelled(RUNNING), [workload(RUNNING, EXITED)], [Hurry(cancelled(RUNNING))]
    ),
    "lost_while_it_is_followed": UnderWay(
        LAUNCHED, RUNNING, [], [Finish(RUNNING, LOST)], {"running": 6.0}
    ),
    "not_while_its_end_is_recorded": UnderWay(ENDING, RUNNING, [], [], {"running": 6.0}),
    "no_retry_while_it_is_followed": UnderWay(LAUNCHED, PERSISTENT, [], [], {"running": 6.0}),
    "a_failure_that_is_being_recorded_is_not_recorded_twice": UnderWay(
        ENDING, FAILING, [workload(RUNNING)], []
    ),
}


@pytest.mark.parametrize("name", UNDER_WAY)
def test_what_a_run_does_already(name):
    case = UNDER_WAY[name]
    world = World(
        LIMITS,
        [case.job],
        case.workloads,
        missing=case.missing,
        runs={case.job.job_id: case.run},
    )
    assert plan(world) == case.actions


def test_nothing_starts_while_its_end_is_recorded():
    world = World(LIMITS, [INITIALIZING], under_way={"finish initializing"})
    assert plan(world) == []


def test_a_workload_is_not_removed_while_its_run_cleans_up():
    assert plan(World(LIMITS, [], [STRAY], runs={"stray": ENDING})) == []


@pytest.mark.parametrize(
    ("attempt", "epoch", "superseded"),
    [(1, 4, True), (1, 5, False), (2, 4, False)],
    ids=["launched_again_since", "this_one", "another_attempt"],
)
def test_a_workload_that_a_paused_controller_made_late_does_not_count(attempt, epoch, superseded):
    late = Workload("running", WorkloadState.RUNNING, attempt=attempt, epoch=epoch)
    assert Launched(5, {"running": 1}).supersedes(late) is superseded
    assert not Launched(5, {}).supersedes(late)
