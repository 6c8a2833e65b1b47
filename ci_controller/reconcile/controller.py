"""The reconcile controller: observe, plan, apply; every two seconds, or when rung."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ci_common.completion import on_thread
from ci_common.errors import (
    EngineDisturbedError,
    EngineFailingError,
    EngineUnavailableError,
    RunnerError,
    StorageUnavailableError,
)
from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports.rows import ControllerLease
from ci_common.ports.signals import ControllerBell
from ci_common.ports.workloads import Workload
from ci_common.trace_context import about_job
from ci_controller.housekeeping.housekeeping import Housekeeping
from ci_controller.reconcile.background_tasks import BackgroundTasks
from ci_controller.reconcile.duty import LeaderDuty
from ci_controller.reconcile.leadership import Leadership
from ci_controller.reconcile.missing_workloads import MissingWorkloads
from ci_controller.reconcile.plan import (
    Action,
    Finish,
    Follow,
    Hurry,
    Remove,
    Retry,
    Start,
    Stop,
    key,
    may_finish,
    plan,
)
from ci_controller.reconcile.world import Launched, PlanLimits, RunState, World
from ci_controller.running.engine_health import EngineHealth
from ci_controller.running.job_end import conclude, finish_queued
from ci_controller.running.job_run import JobRun, note_retry
from ci_controller.running.retry_policy import FILES_TRIES, LAUNCH_TRIES, BackOff, RetryPolicy
from ci_controller.running.run_context import RunContext, has_files, open_log
from ci_controller.running.running_times import RunningTimes
from ci_controller.telemetry.meter import NO_METER, TickMeter

logger = logging.getLogger(__name__)

_OBSERVE_SECONDS = 5.0
"""An engine that does not answer for so long counts as down, so that the lease is kept."""

_ENDING_SECONDS = 10.0
"""What a shutdown waits for runs that only have to clean up."""


_RUNS = ("start", "follow")
_BACKGROUND = ("stop", "finish", "remove")

_BROKEN = "internal error; the server's log has the details, tell the operator"


def new_holder() -> str:
    """A name for this process, never used before."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """How often the controller looks, and how many jobs it runs at once."""

    reconcile_seconds: float
    max_concurrent_jobs: int
    max_jobs_per_tenant: int | None = None
    max_collections: int = 4
    """Jobs whose artifacts are collected, beside those that hold a slot."""

    def limits(self) -> PlanLimits:
        """What the plan must respect."""
        grace = 3 * self.reconcile_seconds
        slots, of_tenant = self.max_concurrent_jobs, self.max_jobs_per_tenant
        return PlanLimits(slots, of_tenant, grace, self.max_collections)


class Controller:
    """Moves the jobs of one database, while it holds the lease as `holder`."""

    def __init__(
        self,
        context: RunContext,
        lease: ControllerLease,
        bell: ControllerBell,
        holder: str,
        settings: ReconcileSettings,
        housekeeping: Housekeeping,
        clock: Callable[[], float] = time.monotonic,
        meter: TickMeter = NO_METER,
        duties: Mapping[str, LeaderDuty] | None = None,
    ) -> None:
        self._housekeeping = housekeeping
        self._meter = meter
        self._duties = duties or {}
        self._clock = clock
        self._context = context
        self._leadership = Leadership(lease, holder, clock, context.now)
        self._bell = bell
        self._seconds = settings.reconcile_seconds
        self._limits = settings.limits()
        self._runs: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}
        self._background = BackgroundTasks(clock, self._seconds, partial(has_files, context))
        self._launched: dict[str, int] = {}
        """The attempt of each job that this controller has launched, in this epoch."""
        self._stopped: dict[tuple[str, int], Reason] = {}
        """Why workloads are being stopped, which may take several ticks: by job and attempt."""
        self._missing = MissingWorkloads()
        self._times = RunningTimes(clock)
        self._turns: dict[str, int] = {}
        """Of tenants, in the order in which they last had a job started."""
        self._engine_error: str | None = None
        self._engine_reported = False
        self._engine = BackOff(clock, self._seconds)
        self._retries = RetryPolicy(clock, self._seconds)
        self._health = EngineHealth(context.executor, clock, self._seconds)
        self._next_deadline: float | None = None
        """Of the clock, like the other moments: the wall clock may be set."""

    async def run(self) -> None:
        """Reconcile until cancelled; then give up the lease and leave workloads running."""
        try:
            while True:
                began = self._clock()
                error = await self._tick()
                if self._leadership.epoch is not None or error is not None:
                    self._meter.ticked(self._clock() - began, error)
                await self._wait()
        finally:
            await self.close()

    async def _tick(self) -> Exception | None:
        """One tick, whatever happens in it; the error that ended it."""
        try:
            await self.run_once()
        except StorageUnavailableError as error:
            logger.debug("tick skipped: %s", error)  # what to do was logged already
            return error
        except Exception as error:
            # Level-triggered: whatever it was, the next tick looks again.
            logger.exception("reconcile failed; retrying at the next tick")
            return error
        return None

    async def run_once(self) -> None:
        """One tick. Does nothing while another process holds the lease."""
        self._next_deadline = None  # set at the end; a past one would make every wait end at once
        epoch = await self._lead()
        if epoch is None:
            return
        if has_files(self._context):
            self._bell.keep_listening()
        world = await self._look(epoch)
        self._forget_all_but({job.job_id for job in world.jobs}, world.workloads)
        for action in plan(world):
            await self._apply(action, epoch)
        if world.has_files:
            self._background.spawn("retention", self._housekeeping.retain())
        if world.workloads is not None and self._health.is_due:
            self._background.spawn("probe", self._probe())
        self._background.spawn("resources", self._context.resources.sample(self._running(world)))
        self._next_deadline = self._times.earliest_deadline(world.jobs)

    def _running(self, world: World) -> dict[str, tuple[int, float]]:
        """The attempt of each running job that is not ending, and for how long it has run."""
        found = ((job, self._times.seconds(job)) for job in world.jobs)
        return {
            job.job_id: (job.attempt, seconds)
            for job, seconds in found
            if seconds is not None and job.job_id in self._runs
        }

    async def close(self) -> None:
        """Stop following; workloads go on, and the next controller adopts them."""
        await self._drop_runs()
        await self._context.progress.close()
        await self._context.steps.close()
        await self._context.traces.close()
        self._bell.close()
        await self._leadership.release()

    async def _lead(self) -> int | None:
        """The epoch of the lease, taken or renewed; `None` while another process holds it."""
        before = self._leadership.epoch
        if not await self._leadership.renew():
            return self._leadership.epoch
        if before is not None:
            await self._drop_runs()
        epoch = self._leadership.epoch
        if epoch is not None:
            self._engine_reported = False
            self._launched.clear()
            self._missing = MissingWorkloads()  # another controller was in charge meanwhile
            self._health.reset()
            self._background.spawn("housekeeping", self._housekeeping.run(epoch))
            for name, duty in self._duties.items():
                self._background.spawn(name, duty.run(epoch))
        return epoch

    async def _look(self, epoch: int) -> World:
        # Before the workloads: one that is seen running later has run for so long at least.
        looked_at = self._clock()
        seen = await self._observe()
        jobs = await self._context.transitions.active()
        self._times.note(jobs, self._context.now())
        workloads = None
        if seen is not None:
            launched = Launched(epoch, self._launched)
            workloads = [workload for workload in seen if not launched.supersedes(workload)]
            self._missing.note(jobs, workloads, self._clock())
        return World(
            self._limits,
            jobs,
            workloads,
            engine_starts=self._health.trouble is None,
            has_files=has_files(self._context),
            missing=self._missing.seconds(looked_at),
            running=self._times.all_seconds(jobs, looked_at),
            turns=self._turns,
            runs={
                job_id: RunState(run.launched, run.ending)
                for job_id, (run, _) in self._runs.items()
            },
            under_way=self._background.under_way(),
            resting=self._background.resting() | self._retries.resting(),
        )

    async def _observe(self) -> Sequence[Workload] | None:
        """All workloads, or `None` while the engine is down: then it is asked with back-off."""
        if self._engine.waits:
            return None
        began = self._clock()
        try:
            async with asyncio.timeout(_OBSERVE_SECONDS):
                # Before the rows: a workload seen here has a row by the time rows are read.
                workloads = await self._context.executor.list_workloads()
        except (EngineUnavailableError, TimeoutError) as error:
            self._engine.failed(began)
            self._retries.reset()
            await self._engine_is(str(error) or "the container engine did not respond in time")
            return None
        self._engine.succeeded()
        await self._engine_is(self._health.trouble)
        return workloads

    async def _engine_is(self, error: str | None) -> None:
        if self._engine_reported and error == self._engine_error:
            return
        if error is not None:
            logger.error("jobs wait: %s", error)
        elif self._engine_error is not None:
            logger.info("the container engine works again")
        await self._leadership.report_engine(error)
        self._engine_error, self._engine_reported = error, True

    def _forget_all_but(self, live: set[str], workloads: Sequence[Workload] | None) -> None:
        self._retries.keep_only({f"{kind} {job_id}" for kind in _RUNS for job_id in live})
        self._stopped = {key: why for key, why in self._stopped.items() if key[0] in live}
        self._launched = {key: value for key, value in self._launched.items() if key in live}
        if workloads is not None:
            there = live | {workload.job_id for workload in workloads}
            self._background.keep_only(
                {f"{kind} {job_id}" for kind in _BACKGROUND for job_id in there}
            )

    async def _probe(self) -> None:
        if await self._health.look_again():
            self._bell.ring()  # there is a queue by now

    async def _drop_runs(self) -> None:
        """Stop following. What is cleaning up may end: a client that has seen the result may
        shut the server down at once, and nobody would remove the container then.
        """
        ending = [task for run, task in self._runs.values() if run.ending]
        ending += self._background.tasks("remove")
        if ending:
            await asyncio.wait(ending, timeout=_ENDING_SECONDS)
        # Repeat: a run that fails while it is cancelled starts a task that records its end.
        while tasks := [task for _, task in self._runs.values()] + self._background.tasks():
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _wait(self) -> None:
        seconds = self._seconds
        if self._next_deadline is not None:
            seconds = min(seconds, max(self._next_deadline - self._clock(), 0.05))
        await self._bell.wait(seconds)

    async def _apply(self, action: Action, epoch: int) -> None:
        match action:
            case Start():
                await self._start(action, epoch)
            case Follow():
                run = self._new_run(action, epoch, FILES_TRIES)
                self._begin(run, run.follow())
            case Hurry(job):
                self._context.artifacts.hurry(job.job_id)
            case Stop(job, reason):
                self._note_stop(job, reason)
                self._background.spawn(key(action), self._stop(job))
            case Retry(job):
                await self._retry(job, epoch)
            case Finish(job, outcome):
                self._background.spawn(key(action), self._finish(job, outcome, epoch))
            case Remove(job_id):
                self._background.spawn(key(action), self._context.executor.remove(job_id))

    async def _start(self, action: Start, epoch: int) -> None:
        """The plan's rows are of a moment ago: this begins only when the job is as it was."""
        job = action.job
        if job.status is JobStatus.QUEUED:
            if not await self._context.transitions.claim(job.job_id):
                return
            self._turns[job.tenant] = max(self._turns.values(), default=0) + 1
        elif not await self._is_still(job):
            return
        run = self._new_run(action, epoch, LAUNCH_TRIES)
        self._begin(run, run.start())

    async def _is_still(self, job: Job) -> bool:
        row = await self._context.transitions.get(job.job_id)
        return row is not None and (row.status, row.attempt) == (job.status, job.attempt)

    def _new_run(self, action: Start | Follow, epoch: int, tries: int) -> JobRun:
        job = action.job
        last_try = self._retries.is_last_try(key(action), tries)
        # Rung when it runs, too: the time to its deadline may be shorter than a tick.
        run = JobRun(
            job, self._context, epoch, self._times, self._health, self._bell.ring, last_try
        )
        run.failures = self._retries.failures(key(action))
        run.stopped = self._stopped.get((job.job_id, job.attempt))
        return run

    def _note_stop(self, job: Job, reason: Reason) -> None:
        attempt = job.job_id, job.attempt
        if attempt not in self._stopped:
            logger.info("job %s: stopping its workload (%s)", job.job_id, reason)
        self._stopped[attempt] = reason
        if job.job_id in self._runs:
            self._runs[job.job_id][0].stopped = reason

    async def _stop(self, job: Job) -> None:
        await self._context.executor.stop(job.job_id, job.spec.limits.grace_seconds)

    async def _retry(self, job: Job, epoch: int) -> None:
        if await self._context.transitions.retry(job.job_id, job.attempt):
            logger.warning("job %s: attempt %d was lost; retrying", job.job_id, job.attempt)
            try:
                await on_thread(note_retry, self._context.logs, job, epoch)
            except (OSError, RunnerError) as error:
                logger.warning("job %s: cannot note that in its log: %s", job.job_id, error)
            self._bell.ring()  # the next tick sees an initializing job without a workload

    async def _finish(self, job: Job, outcome: Outcome, epoch: int) -> None:
        if job.job_id in self._runs:
            run, task = self._runs[job.job_id]
            # Once more: it may have launched the workload, or begun to end, since the plan.
            if not may_finish(_state(run), outcome):
                return
            task.cancel()
            await asyncio.wait([task])
        row = await self._context.transitions.get(job.job_id)
        if row is not None and row.status is JobStatus.QUEUED:
            await finish_queued(job.job_id, outcome, self._context)
            return
        log = await open_log(self._context, job.job_id, epoch)
        try:
            await conclude(job.job_id, outcome, log, self._context)
        finally:
            log.close()

    def _begin(self, run: JobRun, work: Coroutine[Any, Any, None]) -> None:
        job_id = run.job.job_id
        with about_job(run.job):  # and so is everything that the task does
            task = asyncio.create_task(work, name=f"job {job_id}")
        self._runs[job_id] = (run, task)
        task.add_done_callback(partial(self._ended, run))

    def _ended(self, run: JobRun, task: asyncio.Task[None]) -> None:
        job_id = run.job.job_id
        del self._runs[job_id]
        if run.launched_itself:
            self._launched[job_id] = run.job.attempt
        if run.finished:
            self._bell.ring()  # a slot is free
        elif isinstance(run.waits_for_engine, EngineDisturbedError):
            self._retries.reset()  # nor is what failed before the fault of the jobs
            self._bell.ring()  # /ready is to tell
        elif run.waits_for_engine is not None:
            answered = isinstance(run.waits_for_engine, EngineFailingError)
            waiting = Follow(run.job) if run.launched else Start(run.job)
            self._retries.failed(key(waiting), answered)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("job %s: its run failed", job_id, exc_info=error)
            if self._leadership.epoch is not None:
                broken = Finish(run.job, Outcome(JobStatus.FAILED, Reason.INTERNAL, _BROKEN))
                self._background.spawn(
                    key(broken), self._finish(run.job, broken.outcome, self._leadership.epoch)
                )


def _state(run: JobRun) -> RunState:
    return RunState(run.launched, run.ending)
