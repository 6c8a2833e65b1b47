"""From any reachable pair of worlds, repeated ticks converge, whatever fails for a while."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ci_common.job import TRANSITIONS, JobStatus
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.reconcile.plan import Finish, Follow, Remove, Retry, Start, Stop, plan
from ci_controller.reconcile.world import PlanLimits, World
from ci_controller.running.outcome import outcome
from support.jobs import NOON, a_job

CREATED, STARTED, EXITED = WorkloadState.CREATED, WorkloadState.RUNNING, WorkloadState.EXITED
STRAY = Workload("stray", STARTED)

LIFE = [JobStatus.QUEUED, JobStatus.INITIALIZING, JobStatus.RUNNING]


class Simulation:
    """Applies a plan to both worlds, the way the controller does.

    `workloads` is by job: that a job has one at most is the engine's promise (names are taken
    once); that it is the right one is the plan's.
    """

    def __init__(self, jobs, workloads, limits):
        self.jobs = {job.job_id: job for job in jobs}
        self.workloads = {workload.job_id: workload for workload in workloads}
        self.missing, self.turns = {}, {}
        self.now = NOON
        self.limits = limits

    def live(self):
        return [job for job in self.jobs.values() if not job.status.is_terminal]

    def plan(self):
        started = {
            (seen.job_id, seen.attempt)
            for seen in self.workloads.values()
            if seen.state is not CREATED
        }
        self.missing = {
            job.job_id: self.missing.get(job.job_id, self.now)
            for job in self.live()
            if job.status is JobStatus.RUNNING and (job.job_id, job.attempt) not in started
        }
        return plan(
            World(
                self.limits,
                self.live(),
                list(self.workloads.values()),
                missing={job_id: self._since(at) for job_id, at in self.missing.items()},
                running={
                    job.job_id: self._since(job.started_at) for job in self.live() if job.started_at
                },
                turns=self.turns,
            )
        )

    def _since(self, moment):
        return (self.now - moment).total_seconds()

    def tick(self, steps=lambda: 9):
        """`steps` tells how many steps of the next action are done before a crash."""
        self.now += timedelta(seconds=2)
        actions = self.plan()
        for action in actions:
            for step in list(self.steps(action))[: steps()]:
                step()
        return actions

    def steps(self, action):
        match action:
            case Start(job):
                yield lambda: self.claim(job)
                yield lambda: self.make(job, CREATED)
                yield lambda: self.make(job, STARTED)
                yield lambda: self.move(job, JobStatus.RUNNING, started_at=self.now)
            case Follow(job):
                assert self.workloads[job.job_id].attempt == job.attempt
                if job.status is JobStatus.INITIALIZING:
                    yield lambda: self.move(job, JobStatus.RUNNING, started_at=self.now)
                yield lambda: self.take_to_end(job)
                yield lambda: self.clean_up(job)
            case Stop(job, _):
                yield lambda: self.exit(job.job_id, 143)
            case Retry(job):
                yield lambda: self.retry(job)
            case Finish(job, result):
                yield lambda: self.move(job, result.status, outcome=result)
                yield lambda: self.clean_up(job)
            case Remove(job_id):
                yield lambda: self.workloads.pop(job_id)

    def claim(self, job):
        if job.status is JobStatus.QUEUED:
            self.move(job, JobStatus.INITIALIZING)
            self.turns[job.tenant] = max(self.turns.values(), default=0) + 1

    def make(self, job, state):
        leftover = self.workloads.get(job.job_id)
        assert leftover is None or leftover.state is CREATED or leftover.attempt < job.attempt, (
            "a second start of one attempt"
        )
        self.workloads[job.job_id] = Workload(
            job.job_id, state, attempt=job.attempt, started_at=self.now
        )

    def take_to_end(self, job):
        seen = self.workloads[job.job_id]
        if seen.state is EXITED:
            result = outcome(self.jobs[job.job_id], seen)
            self.move(job, result.status, outcome=result)

    def clean_up(self, job):
        if self.jobs[job.job_id].status.is_terminal:
            self.workloads.pop(job.job_id, None)

    def exit(self, job_id, code):
        seen = self.workloads.get(job_id)
        if seen is not None and seen.state is STARTED:
            self.workloads[job_id] = replace(
                seen, state=EXITED, exit_code=code, finished_at=self.now
            )

    def has_exited(self, job):
        seen = self.workloads.get(job.job_id)
        return seen is not None and (seen.state, seen.attempt) == (EXITED, job.attempt)

    def retry(self, job):
        row = self.jobs[job.job_id]
        assert (row.status, row.attempt) == (JobStatus.RUNNING, job.attempt)
        assert row.attempt <= row.spec.retries
        self.jobs[job.job_id] = replace(
            row, status=JobStatus.INITIALIZING, attempt=row.attempt + 1, started_at=None
        )

    def move(self, job, target, **facts):
        row = self.jobs[job.job_id]
        if row.status is not target:
            assert target in TRANSITIONS[row.status], f"{row.status} -> {target}"
        self.jobs[job.job_id] = replace(row, status=target, **facts)

    def progress(self):
        """By job, what may only grow."""
        return {
            job.job_id: (3 if job.status.is_terminal else 0, job.attempt, life(job.status))
            for job in self.jobs.values()
        }


def life(status):
    return LIFE.index(status) if status in LIFE else len(LIFE)


@st.composite
def worlds(draw):
    states = st.sampled_from([None, CREATED, STARTED, EXITED])
    jobs, workloads = [], []
    for number in range(draw(st.integers(0, 6))):
        status = draw(st.sampled_from(LIFE))
        retries = draw(st.integers(0, 2))
        attempt = 1 if status is JobStatus.QUEUED else draw(st.integers(1, retries + 1))
        job = a_job(
            status,
            job_id=str(number),
            tenant=draw(st.sampled_from("ab")),
            priority=draw(st.sampled_from([0, 5, 10])),
            retries=retries,
            attempt=attempt,
            timeout=draw(st.sampled_from([3.0, 3600.0])),
            started_at=NOON if status is JobStatus.RUNNING else None,
            cancel_requested_at=draw(st.sampled_from([None, NOON])),
        )
        jobs.append(job)
        # A queued job has no workload: its claim comes before its launch.
        state = None if status is JobStatus.QUEUED else draw(states)
        if state is not None:
            workloads.append(
                Workload(
                    job.job_id,
                    state,
                    # An earlier one may be left over, or come late from a controller that slept.
                    attempt=draw(st.integers(1, attempt)),
                    exit_code=0 if state is EXITED else None,
                    started_at=NOON,
                    finished_at=NOON if state is EXITED else None,
                )
            )
    if draw(st.booleans()):
        workloads.append(STRAY)
    cap = draw(st.none() | st.integers(1, 3))
    return Simulation(
        jobs, workloads, PlanLimits(draw(st.integers(1, 3)), cap, 6.0, draw(st.integers(0, 3)))
    )


def disturb(world, data):
    """What happens behind the controller's back."""
    for job_id in list(world.workloads):
        what = data.draw(st.sampled_from(["nothing", "nothing", "end", "vanish"]))
        if what == "end":
            world.exit(job_id, data.draw(st.sampled_from([0, 1])))
        elif what == "vanish":
            del world.workloads[job_id]
    for job in world.live():
        if job.cancel_requested_at is None and data.draw(st.integers(0, 9)) == 0:
            world.jobs[job.job_id] = replace(job, cancel_requested_at=world.now)


@given(world=worlds(), data=st.data())
def test_worlds_converge_and_jobs_never_move_backwards(world, data):
    """Every live job has at most one workload, every finished job has none in the end."""
    claimed_before = len([job for job in world.live() if job.status is not JobStatus.QUEUED])
    most = max(world.limits.max_concurrent_jobs, claimed_before)
    before = world.progress()
    for number in range(data.draw(st.integers(0, 6)) + 80):
        disturbed = number < 6 and data.draw(st.booleans())
        if disturbed:
            disturb(world, data)
        actions = world.tick((lambda: data.draw(st.integers(0, 4))) if disturbed else lambda: 9)
        assert all(actions.count(action) == 1 for action in actions), "the same action twice"
        claimed = [job for job in world.live() if job.status is not JobStatus.QUEUED]
        assert len(claimed) <= most + world.limits.max_collections
        assert len([job for job in claimed if not world.has_exited(job)]) <= most
        after = world.progress()
        assert all(after[job_id] >= before[job_id] for job_id in before)
        before = after
        if not disturbed:
            for job in claimed:
                if job.spec.limits.timeout_seconds > 100:
                    world.exit(job.job_id, 0)
        if not world.live() and not world.workloads:
            break
    assert world.live() == []
    assert world.workloads == {}
    assert world.tick() == [], "a converged world needs nothing"
    for job in world.jobs.values():
        assert job.attempt <= job.spec.retries + 1


@given(world=worlds())
def test_the_plan_changes_nothing_and_repeats_itself(world):
    seen = World(world.limits, world.live(), list(world.workloads.values()))
    assert plan(seen) == plan(seen)
