"""The reconcile controller: observe, plan, apply; every two seconds, or when rung."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from ci_common.ports.workloads import Workload, WorkloadState
from ci_controller.housekeeping.housekeeping import Housekeeping
from ci_controller.reconcile.background_tasks import BackgroundTasks
from ci_controller.reconcile.plan import (
    Action,
    Finish,
    Follow,
    Limits,
    Remove,
    Retry,
    Start,
    Stop,
    plan,
    plan_without_engine,
    without_files,
)
from ci_controller.running.engine_health import EngineHealth
from ci_controller.running.job_end import conclude, finish_queued
from ci_controller.running.job_run import JobRun, note_retry
from ci_controller.running.retry_policy import BackOff, Patience
from ci_controller.running.run_context import Tools, has_files
from ci_controller.running.running_times import RunningTimes

logger = logging.getLogger(__name__)

LEASE_SECONDS = 8.0
"""Without a heartbeat for so long, another process takes over."""

_RENEW_SECONDS = 1.5
"""Between renewals: a tick that the doorbell asked for should not wait for the disk."""

_OBSERVE_SECONDS = 5.0
"""An engine that does not answer for so long counts as down, so that the lease is kept."""

_ENDING_SECONDS = 10.0
"""What a shutdown waits for runs that only have to clean up."""


_BROKEN = "an error of the server, whose log has the details; tell the operator"


def new_holder() -> str:
    """A name for this process, never used before."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how many, how patiently."""

    reconcile_seconds: float
    max_concurrent_jobs: int
    max_jobs_per_tenant: int | None = None
    max_collections: int = 4
    """Jobs whose artifacts are collected, beside those that hold a slot."""

    def limits(self) -> Limits:
        """What the plan must respect."""
        grace = 3 * self.reconcile_seconds
        slots, of_tenant = self.max_concurrent_jobs, self.max_jobs_per_tenant
        return Limits(slots, of_tenant, grace, self.max_collections)


class Controller:
    """Moves the jobs of one database, while it holds the lease as `holder`."""

    def __init__(
        self,
        tools: Tools,
        lease: ControllerLease,
        bell: ControllerBell,
        holder: str,
        pace: Pace,
        housekeeping: Housekeeping,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._housekeeping = housekeeping
        self._clock = clock
        self._tools = tools
        self._lease = lease
        self._bell = bell
        self._holder = holder
        self._pace = pace
        self._limits = pace.limits()
        self._epoch: int | None = None
        """Of the lease; `None` while another process holds it."""
        self._renewed_at = 0.0
        self._runs: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}
        self._beside = BackgroundTasks(clock, pace.reconcile_seconds, partial(has_files, tools))
        self._launched: dict[str, int] = {}
        """The attempt of each job that this controller has launched, in this epoch."""
        self._told_to_stop: set[str] = set()
        """Jobs whose stop is in the log; it may be carried out by several ticks."""
        self._missing_since: dict[str, float] = {}
        self._times = RunningTimes(clock)
        self._turns: dict[str, int] = {}
        """Of tenants, in the order in which they last had a job started."""
        self._engine_error: str | None = None
        self._engine_reported = False
        self._engine = BackOff(clock, pace.reconcile_seconds)
        self._patience = Patience(clock, pace.reconcile_seconds)
        self._health = EngineHealth(tools.executor, clock, pace.reconcile_seconds)
        self._next_deadline: float | None = None
        """Of the clock, like the other moments: the wall clock may be set."""

    async def run(self) -> None:
        """Reconcile until cancelled; then give up the lease and leave workloads running."""
        try:
            while True:
                try:
                    await self.run_once()
                except StorageUnavailableError as error:
                    logger.debug("no tick: %s", error)  # whoever noticed has logged what to do
                except Exception:
                    # Level-triggered: whatever it was, the next tick looks again.
                    logger.exception("reconcile failed; the next tick tries again")
                await self._wait()
        finally:
            await self.close()

    async def run_once(self) -> None:
        """One tick. Does nothing while another process holds the lease."""
        epoch = await self._lead()
        if epoch is None:
            return
        usable = has_files(self._tools)
        if usable:
            self._bell.keep_listening()
        # Before the workloads: one that is seen running later has run for so long at least.
        looked_at = self._clock()
        seen = await self._observe()
        workloads = None if seen is None else [one for one in seen if not self._is_late(one)]
        jobs = await self._tools.transitions.active()
        self._times.note(jobs, self._tools.now())
        if workloads is None:
            actions = plan_without_engine(jobs)
        else:
            self._note_missing(jobs, workloads)
            missing = {job_id: looked_at - at for job_id, at in self._missing_since.items()}
            running = self._times.all_seconds(jobs, looked_at)
            actions = plan(jobs, workloads, missing, running, self._limits, self._turns)
        self._forget_all_but({job.job_id for job in jobs}, workloads)
        usable = usable and has_files(self._tools)
        for action in actions if usable else without_files(actions):
            await self._apply(action, epoch)
        if usable:
            self._beside.spawn("retention", self._housekeeping.retain())
        if workloads is not None and self._health.is_due:
            self._beside.spawn("probe", self._probe())
        self._next_deadline = self._times.earliest_deadline(jobs)

    def _forget_all_but(self, live: set[str], workloads: Sequence[Workload] | None) -> None:
        self._patience.keep_only(live)
        self._told_to_stop &= live
        self._launched = {key: value for key, value in self._launched.items() if key in live}
        if workloads is not None:
            there = live | {workload.job_id for workload in workloads}
            kinds = ("stop", "finish", "remove")
            self._beside.keep_only({f"{kind} {key}" for kind in kinds for key in there})

    async def close(self) -> None:
        """Stop following; workloads go on, and the next controller adopts them."""
        await self._drop_runs()
        self._bell.close()
        with contextlib.suppress(StorageUnavailableError):  # then it ends with this process
            await self._lease.release(self._holder)

    async def _lead(self) -> int | None:
        """The epoch of the lease, taken or renewed; `None` while another process holds it."""
        now = self._clock()
        if self._epoch is not None and now < self._renewed_at + _RENEW_SECONDS:
            return self._epoch  # if another took over meanwhile, it has fenced us off
        before = self._epoch
        self._epoch = await self._lease.acquire(self._holder, self._tools.now(), LEASE_SECONDS)
        self._renewed_at = now  # not sooner: without a renewal nothing is done
        if self._epoch != before and before is not None:
            logger.warning("another process took over; what this one had under way is dropped")
            await self._drop_runs()
        if self._epoch is not None and self._epoch != before:
            logger.info("this process reconciles now (epoch %d)", self._epoch)
            self._engine_reported = False
            self._launched.clear()
            self._health.reset()
            self._beside.spawn("housekeeping", self._housekeeping.run(self._epoch))
        return self._epoch

    async def _observe(self) -> Sequence[Workload] | None:
        """All workloads, or `None` while the engine is down: then it is asked with back-off."""
        if self._engine.waits:
            return None
        began = self._clock()
        try:
            async with asyncio.timeout(_OBSERVE_SECONDS):
                # Before the rows: a workload seen here has a row by the time rows are read.
                workloads = await self._tools.executor.list_workloads()
        except (EngineUnavailableError, TimeoutError) as error:
            self._engine.failed(began)
            self._patience.forgive()
            await self._engine_is(str(error) or "the container engine does not answer in time")
            return None
        self._engine.succeeded()
        await self._engine_is(self._health.trouble)
        return workloads

    async def _probe(self) -> None:
        if await self._health.look_again():
            self._bell.ring()  # there is a queue by now

    def _is_late(self, workload: Workload) -> bool:
        """Whether a controller that lost the lease made it after this one had launched the same:
        its place in the log is not true any more.
        """
        launched = self._launched.get(workload.job_id) == workload.attempt
        return launched and self._epoch is not None and workload.epoch < self._epoch

    async def _drop_runs(self) -> None:
        """Stop following. What is cleaning up may end: a client that has seen the result may
        shut the server down at once, and nobody would remove the container then.
        """
        ending = [task for run, task in self._runs.values() if run.ending]
        ending += self._beside.tasks("remove")
        if ending:
            await asyncio.wait(ending, timeout=_ENDING_SECONDS)
        tasks = [task for _, task in self._runs.values()] + self._beside.tasks()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self) -> None:
        seconds = self._pace.reconcile_seconds
        if self._next_deadline is not None:
            seconds = min(seconds, max(self._next_deadline - self._clock(), 0.05))
        await self._bell.wait(seconds)

    async def _engine_is(self, error: str | None) -> None:
        if self._engine_reported and error == self._engine_error:
            return
        if error is not None:
            logger.error("jobs wait: %s", error)
        elif self._engine_error is not None:
            logger.info("the container engine works again")
        await self._lease.report_engine(error)
        self._engine_error, self._engine_reported = error, True

    def _note_missing(self, jobs: list[Job], workloads: Sequence[Workload]) -> None:
        started = {
            (workload.job_id, workload.attempt)
            for workload in workloads
            if workload.state is not WorkloadState.CREATED
        }
        now = self._clock()
        self._missing_since = {
            job.job_id: self._missing_since.get(job.job_id, now)
            for job in jobs
            if job.status is JobStatus.RUNNING and (job.job_id, job.attempt) not in started
        }

    async def _apply(self, action: Action, epoch: int) -> None:
        match action:
            case Start(job):
                await self._start(job, epoch)
            case Follow(job):
                self._follow(job, epoch)
            case Stop(job, reason):
                if job.job_id not in self._told_to_stop:
                    logger.info("job %s: stopping its workload (%s)", job.job_id, reason)
                self._told_to_stop.add(job.job_id)
                if job.job_id in self._runs:
                    self._runs[job.job_id][0].stopped = reason
                self._beside.spawn(f"stop {job.job_id}", self._stop(job))
            case Retry(job):
                await self._retry(job, epoch)
            case Finish(job, outcome):
                self._beside.spawn(f"finish {job.job_id}", self._finish(job, outcome, epoch))
            case Remove(job_id):
                if job_id not in self._runs:
                    self._beside.spawn(f"remove {job_id}", self._tools.executor.remove(job_id))

    def _follow(self, job: Job, epoch: int) -> None:
        if job.cancel_requested_at is not None:
            self._tools.artifacts.hurry(job.job_id)
        if job.job_id in self._runs or self._patience.waits(job.job_id, launched=True):
            return
        last_try = self._patience.is_last_try(job.job_id, launched=True)
        run = JobRun(job, self._tools, epoch, self._times, self._health, self._bell.ring, last_try)
        self._begin(run, run.follow())

    async def _start(self, job: Job, epoch: int) -> None:
        if self._health.trouble is not None:
            return  # the engine would refuse it, and every other job
        if job.job_id in self._runs or f"finish {job.job_id}" in self._beside:
            return
        if self._patience.waits(job.job_id, launched=False):
            return
        if job.status is JobStatus.QUEUED:
            if not await self._tools.transitions.claim(job.job_id):
                return
            self._turns[job.tenant] = max(self._turns.values(), default=0) + 1
        elif not await self._is_still(job):
            return  # it ended since the rows were read
        # Rung when it runs, too: the time to its deadline may be shorter than a tick.
        last_try = self._patience.is_last_try(job.job_id, launched=False)
        run = JobRun(job, self._tools, epoch, self._times, self._health, self._bell.ring, last_try)
        self._begin(run, run.start())

    async def _is_still(self, job: Job) -> bool:
        row = await self._tools.transitions.get(job.job_id)
        return row is not None and (row.status, row.attempt) == (job.status, job.attempt)

    async def _retry(self, job: Job, epoch: int) -> None:
        if job.job_id in self._runs:
            return
        if await self._tools.transitions.retry(job.job_id, job.attempt):
            logger.warning("job %s: attempt %d was lost; trying again", job.job_id, job.attempt)
            try:
                await asyncio.to_thread(note_retry, self._tools.logs, job, epoch)
            except (OSError, RunnerError) as error:
                logger.warning("job %s: its log cannot tell of that: %s", job.job_id, error)
            self._bell.ring()  # the next tick sees an initializing job without a workload

    async def _stop(self, job: Job) -> None:
        await self._tools.executor.stop(job.job_id, job.spec.limits.grace_seconds)

    async def _finish(self, job: Job, outcome: Outcome, epoch: int) -> None:
        if job.job_id in self._runs:
            run, task = self._runs[job.job_id]
            if run.ending or (run.launched and outcome.reason is Reason.CANCELLED):
                return  # it started meanwhile: the next tick stops it in order
            task.cancel()
            await asyncio.wait([task])
        row = await self._tools.transitions.get(job.job_id)
        if row is not None and row.status is JobStatus.QUEUED:
            await finish_queued(job.job_id, outcome, self._tools)
            return
        log = await asyncio.to_thread(self._tools.logs.open, job.job_id, epoch)
        try:
            await conclude(job.job_id, outcome, log, self._tools)
        finally:
            log.close()

    def _begin(self, run: JobRun, work: Coroutine[Any, Any, None]) -> None:
        job_id = run.job.job_id
        task = asyncio.create_task(work, name=f"job {job_id}")
        self._runs[job_id] = (run, task)

        def ended(task: asyncio.Task[None]) -> None:
            del self._runs[job_id]
            if run.launched_itself:
                self._launched[job_id] = run.job.attempt
            if run.finished:
                self._bell.ring()  # a slot is free
            elif isinstance(run.waits_for_engine, EngineDisturbedError):
                self._patience.forgive()  # nor is what failed before the fault of the jobs
                self._bell.ring()  # /ready is to tell
            elif run.waits_for_engine is not None:
                answered = isinstance(run.waits_for_engine, EngineFailingError)
                self._patience.failed(job_id, run.launched, answered)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("job %s: the run broke", job_id, exc_info=error)
                if self._epoch is not None:
                    broken = Outcome(JobStatus.FAILED, Reason.INTERNAL, _BROKEN)
                    self._beside.spawn(
                        f"finish {job_id}", self._finish(run.job, broken, self._epoch)
                    )

        task.add_done_callback(ended)
