"""The reconcile controller: observe, plan, apply; every two seconds, or when rung."""

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ci_common.errors import EngineUnavailableError, RunnerError
from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports import ControllerBell, ControllerLease, Workload, WorkloadState
from ci_controller.job_run import JobRun, Tools, finish
from ci_controller.plan import (
    Action,
    Finish,
    Follow,
    Limits,
    Remove,
    Start,
    Stop,
    deadline,
    plan,
    plan_without_engine,
)

logger = logging.getLogger(__name__)

LEASE_SECONDS = 8.0
"""Without a heartbeat for so long, another process takes over."""

_RENEW_SECONDS = 1.5
"""Between renewals: a tick that the doorbell asked for should not wait for the disk."""

_OBSERVE_SECONDS = 5.0
"""An engine that does not answer for so long counts as down, so that the lease is kept."""

_ENDING_SECONDS = 10.0
"""What a shutdown waits for runs that only have to clean up."""

_HOUSEKEEPING_SECONDS = 60.0
_STALE_UPLOAD_SECONDS = 3600.0


def new_holder() -> str:
    """A name for this process, never used before."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how many, how patiently."""

    reconcile_seconds: float
    max_concurrent_jobs: int
    cancel_grace_seconds: float


class Controller:
    """Moves the jobs of one database, while it holds the lease as `holder`."""

    def __init__(
        self, tools: Tools, lease: ControllerLease, bell: ControllerBell, holder: str, pace: Pace
    ) -> None:
        self._tools = tools
        self._lease = lease
        self._bell = bell
        self._holder = holder
        self._pace = pace
        self._limits = Limits(pace.max_concurrent_jobs, 3 * pace.reconcile_seconds)
        self._leading = False
        self._renewed_at = 0.0
        self._runs: dict[str, tuple[JobRun, asyncio.Task[None]]] = {}
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._missing_since: dict[str, datetime] = {}
        self._engine_error: str | None = None
        self._engine_reported = False
        self._next_deadline: datetime | None = None

    async def run(self) -> None:
        """Reconcile until cancelled; then give up the lease and leave workloads running."""
        try:
            while True:
                try:
                    await self.run_once()
                except Exception:
                    # Level-triggered: whatever it was, the next tick looks again.
                    logger.exception("reconcile failed; the next tick tries again")
                await self._wait()
        finally:
            await self.close()

    async def run_once(self) -> None:
        """One tick. Does nothing while another process holds the lease."""
        if not await self._lead():
            return
        try:
            async with asyncio.timeout(_OBSERVE_SECONDS):
                # Workloads first: a workload seen here has a row by the time rows are read.
                workloads = await self._tools.executor.list_workloads()
        except (EngineUnavailableError, TimeoutError) as error:
            await self._engine_is(str(error) or "the container engine does not answer")
            jobs = await self._tools.transitions.active()
            actions = plan_without_engine(jobs)
        else:
            await self._engine_is(None)
            jobs = await self._tools.transitions.active()
            self._note_missing(jobs, workloads)
            now = self._tools.now()
            actions = plan(jobs, workloads, self._missing_since, now, self._limits)
        for action in actions:
            await self._apply(action)
        deadlines = (deadline(job, job.started_at) for job in jobs if job.started_at)
        # One that has passed was acted upon, and is no reason to hurry.
        now = self._tools.now()
        self._next_deadline = min((moment for moment in deadlines if moment > now), default=None)

    async def close(self) -> None:
        """Stop following; workloads go on, and the next controller adopts them."""
        await self._drop_runs()
        self._bell.close()
        await self._lease.release(self._holder)

    async def _lead(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._leading and now < self._renewed_at + _RENEW_SECONDS:
            return True  # if another took over meanwhile, it has fenced our transitions off
        self._renewed_at = now
        leading = await self._lease.acquire(self._holder, self._tools.now(), LEASE_SECONDS)
        if leading and not self._leading:
            logger.info("this process reconciles now")
            self._engine_reported = False
            self._bell.listen()
            self._errand("housekeeping", self._keep_house())
        elif self._leading and not leading:
            logger.warning("another process reconciles now; this one stands by")
            await self._drop_runs()
        self._leading = leading
        return leading

    async def _drop_runs(self) -> None:
        """Stop following. What is cleaning up may end: a client that has seen the result may
        shut the server down at once, and nobody would remove the container then.
        """
        ending = [task for run, task in self._runs.values() if run.ending]
        ending += [task for name, task in self._errands.items() if name.startswith("remove")]
        if ending:
            await asyncio.wait(ending, timeout=_ENDING_SECONDS)
        tasks = [task for _, task in self._runs.values()] + list(self._errands.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self) -> None:
        seconds = self._pace.reconcile_seconds
        if self._next_deadline is not None:
            until = (self._next_deadline - self._tools.now()).total_seconds()
            seconds = min(seconds, max(until, 0.05))
        await self._bell.wait(seconds)

    async def _engine_is(self, error: str | None) -> None:
        if self._engine_reported and error == self._engine_error:
            return
        if error is not None:
            logger.error("jobs wait: %s", error)
        elif self._engine_error is not None:
            logger.info("the container engine answers again")
        await self._lease.report_engine(error)
        self._engine_error, self._engine_reported = error, True

    def _note_missing(self, jobs: list[Job], workloads: Sequence[Workload]) -> None:
        started = {
            workload.job_id for workload in workloads if workload.state is not WorkloadState.CREATED
        }
        now = self._tools.now()
        self._missing_since = {
            job.job_id: self._missing_since.get(job.job_id, now)
            for job in jobs
            if job.status is JobStatus.RUNNING and job.job_id not in started
        }

    async def _apply(self, action: Action) -> None:
        match action:
            case Start(job):
                await self._start(job)
            case Follow(job):
                if job.job_id not in self._runs:
                    run = JobRun(job, self._tools)
                    self._begin(run, run.follow())
            case Stop(job, reason):
                logger.info("job %s: stopping its workload (%s)", job.job_id, reason)
                self._errand(f"stop {job.job_id}", self._stop(job))
            case Finish(job, outcome):
                self._errand(f"finish {job.job_id}", self._finish(job, outcome))
            case Remove(job_id):
                if job_id not in self._runs:
                    self._errand(f"remove {job_id}", self._tools.executor.remove(job_id))

    async def _start(self, job: Job) -> None:
        if job.job_id in self._runs:
            return
        if job.status is JobStatus.QUEUED and not await self._tools.transitions.claim(job.job_id):
            return
        run = JobRun(job, self._tools)
        self._begin(run, run.start())

    async def _stop(self, job: Job) -> None:
        await self._tools.executor.stop(job.job_id, self._pace.cancel_grace_seconds)

    async def _finish(self, job: Job, outcome: Outcome) -> None:
        if job.job_id in self._runs:
            run, task = self._runs[job.job_id]
            if run.launched and outcome.reason is Reason.CANCELLED:
                return  # it started meanwhile: the next tick stops it in order
            task.cancel()
            await asyncio.wait([task])
        log = self._tools.logs.open(job.job_id)
        try:
            await finish(job, outcome, log, self._tools)
        finally:
            log.close()

    def _begin(self, run: JobRun, work: Coroutine[Any, Any, None]) -> None:
        job_id = run.job.job_id
        task = asyncio.create_task(work, name=f"job {job_id}")
        self._runs[job_id] = (run, task)

        def ended(task: asyncio.Task[None]) -> None:
            del self._runs[job_id]
            if run.finished:
                self._bell.ring()  # a slot is free
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("job %s: the run broke", job_id, exc_info=error)
                if self._leading:
                    broken = Outcome(JobStatus.FAILED, Reason.INTERNAL, "an error of the server")
                    self._errand(f"finish {job_id}", self._finish(run.job, broken))

        task.add_done_callback(ended)

    def _errand(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; once at a time, and its errors are told."""
        if name in self._errands:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._errands[name] = task

        def ended(task: asyncio.Task[None]) -> None:
            del self._errands[name]
            if task.cancelled() or (error := task.exception()) is None:
                return
            if isinstance(error, RunnerError):
                logger.warning("%s: %s; the next tick tries again", name, error)
            else:
                logger.error("%s failed", name, exc_info=error)

        task.add_done_callback(ended)

    async def _keep_house(self) -> None:
        """Now and then: remove what crashes left, and keep caches within their budget."""
        while True:
            packages = self._tools.packages
            for job_id in packages.job_ids(_STALE_UPLOAD_SECONDS):
                job = await self._tools.transitions.get(job_id)
                if job is None or job.status.is_terminal:
                    packages.delete(job_id)
            packages.sweep_staging(_STALE_UPLOAD_SECONDS)
            try:
                await self._tools.executor.tidy()
            except EngineUnavailableError as error:
                logger.debug("housekeeping: %s", error)
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
