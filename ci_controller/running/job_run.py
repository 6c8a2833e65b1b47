"""One job's way from its claim to its end: launch, copy the log, record, clean up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from ci_common.completion import on_thread
from ci_common.errors import (
    DiskFullError,
    EngineFailingError,
    EngineUnavailableError,
    JobError,
    LaunchFailedError,
    LeaseLostError,
    RegistryUnavailableError,
    RunnerError,
    StorageUnavailableError,
    WorkloadLostError,
)
from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.launch_step import LaunchStage, LaunchStep
from ci_common.ports.logs import LogAppender, LogWriter
from ci_common.ports.rows import Ending
from ci_common.ports.workloads import Output, OutputEnd, Workload, WorkloadState
from ci_common.secret import Secret
from ci_controller.executors.shared.log_pump import pump
from ci_controller.output.log_cap import CappedLog
from ci_controller.output.masking import Masking
from ci_controller.output.output_log import OutputLog
from ci_controller.output.progress_tap import TAIL_BYTES, ProgressTap
from ci_controller.running.engine_health import EngineHealth
from ci_controller.running.job_end import DISK_FULL, clean_up, record, record_failure
from ci_controller.running.launch_request import launch_request, probe_request
from ci_controller.running.missing_command import may_be_missing, missing_command_line
from ci_controller.running.outcome import EndFacts, note_lost_output, outcome
from ci_controller.running.retry_policy import LAUNCH_TRIES
from ci_controller.running.run_context import RunContext, has_files, open_log
from ci_controller.running.running_times import RunningTimes

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
"""For so long after its output ended an engine may still call a workload running, and is asked
often."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An output, and the log it goes to."""

    output: Output
    log: OutputLog


class JobRun:
    """Takes one job to its end. When it is cancelled, or the engine goes away, it leaves the
    job as it is, and another run carries on from there.
    """

    def __init__(
        self,
        job: Job,
        context: RunContext,
        epoch: int,
        times: RunningTimes,
        health: EngineHealth,
        ring: Callable[[], None] = lambda: None,
        last_try: bool = False,
    ) -> None:
        """`ring` is called once the row says that the job runs, and once its command has ended.
        At the `last_try` an engine that fails is no reason to wait any more.
        """
        self.job = job
        self.launched = False
        """Whether there is a started workload, which must be stopped before the job can end."""
        self.launched_itself = False
        """Whether this run started it, so that one of an earlier epoch is not the one."""
        self.ending = False
        """Whether this run is recording the end and cleaning up, which is not to be cut short."""
        self.finished = False
        """Whether this run recorded the end."""
        self.waits_for_engine: EngineUnavailableError | None = None
        """Why the job was left as it is, when that is the engine's trouble."""
        self.stopped: Reason | None = None
        """Why the workload was stopped while this run followed it."""
        self.failures = 0
        """How often the engine has failed at the same before, though it answered."""
        self._times = times
        self._health = health
        self._context = context
        self._epoch = epoch
        self._ring = ring
        self._last_try = last_try
        self._dropped: int | None = 0
        self._has_whole_output = False
        self._secrets: list[Secret] = []
        self._masking = Masking()

    async def start(self) -> None:
        """Launch the workload of a claimed job and follow it."""

        await self._guard(self._launch)

    async def follow(self) -> None:
        """Follow a workload that an earlier run launched."""
        self.launched = True
        await self._guard(self._adopt)

    async def _guard(self, connect: Callable[[LogAppender], Awaitable[Connection]]) -> None:
        try:
            log = await open_log(self._context, self.job.job_id, self._epoch)
            try:
                await self._learn_secrets()
                await self._take_to_end(await connect(log), log)
            except EngineFailingError as error:
                await self._check_engine(error)
                if self.launched:
                    raise
                if not self._last_try:
                    step = LaunchStep(LaunchStage.RETRYING, self.failures + 2)
                    self._context.steps.note(self.job, step)
                    raise
                message = f"gave up after {LAUNCH_TRIES} attempts to start the job: {error.message}"
                await self._fail(error.reason, message, log)
            except JobError as error:
                if isinstance(error, WorkloadLostError):
                    raise
                await self._check_engine(error)
                await self._fail(error.reason, error.message, log)
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                message = (
                    f"the server cannot store its files: {error.strerror or error}; the "
                    "operator must free space on its disk, then submit the job again"
                )
                await self._fail(Reason.DISK_FULL, message, log)
            finally:
                log.close()
        except WorkloadLostError:
            # EndFacts missing once. The plan calls it lost when it stays missing.
            logger.warning("job %s: its workload cannot be found", self.job.job_id)
        except (
            EngineUnavailableError,
            LeaseLostError,
            DiskFullError,
            StorageUnavailableError,
        ) as error:
            if self.finished:
                logger.warning("job %s: its clean-up waits: %s", self.job.job_id, error)
                return
            logger.warning("job %s waits: %s", self.job.job_id, error)
            if isinstance(error, EngineUnavailableError):
                self.waits_for_engine = error
        except OSError as error:
            # There is not even room to begin the log, or to make its end durable.
            if error.errno not in DISK_FULL and has_files(self._context):
                raise
            logger.warning("job %s waits for its files: %s", self.job.job_id, error)

    async def _check_engine(self, error: RunnerError) -> None:
        """Raise EngineDisturbedError when the launch failed because the engine starts nothing."""
        of_start = isinstance(error, EngineFailingError | LaunchFailedError)
        if not self.launched and of_start and not isinstance(error, RegistryUnavailableError):
            await self._health.check(probe_request(self.job, self._epoch))

    async def _learn_secrets(self) -> None:
        """Before anything is read that they could be in."""
        if self.job.spec.secrets:
            self._secrets = await asyncio.to_thread(self._context.secrets.of, self.job)
            self._masking = await asyncio.to_thread(Masking.of, self._secrets)

    async def _launch(self, log: LogAppender) -> Connection:
        # Before there is a workload whose output could be taken for the end of another's.
        await on_thread(log.drop_held)
        if log.size == 0:  # once, however often the launch is tried
            await self._note_unenforced_limits(log)
        masked = self._masking.appender(log)
        try:
            package = self._context.packages.source(self.job)
            request = launch_request(self.job, self._epoch, self._secrets, package)
            told = self._context.steps.of(self.job)
            output = await self._context.executor.launch(request, masked, told)
            self.launched = self.launched_itself = True
        finally:
            base = masked.size  # with what was held back
        if base:
            # Or a power cut may shorten the log below the place where the output begins.
            await on_thread(log.sync)
        return Connection(output, self._capped(log, base, self._epoch))

    async def _note_unenforced_limits(self, log: LogAppender) -> None:
        for one in await self._context.executor.check():
            if one.concerns(self.job.spec.limits):
                log.append(f"ci: {one.message}\n".encode())

    async def _adopt(self, log: LogAppender) -> Connection:
        if await self._is_initializing():
            # None of its output was stored yet, so what is beyond its place in the log another
            # launch wrote: a controller that was paused past its lease made this one late.
            workload = await self._inspect()
            if workload.log_base < log.size:
                logger.warning(
                    "job %s: replacing a workload that was created late", self.job.job_id
                )
                return await self._launch(log)
        return await self._reattach(log)

    async def _reattach(self, log: LogAppender) -> Connection:
        workload = await self._inspect()
        capped = self._capped(log, workload.log_base, workload.epoch)
        output = await self._context.executor.reattach(self.job.job_id, skip=capped.skip)
        return Connection(output, capped)

    def _capped(self, log: LogAppender, base: int, since_epoch: int) -> OutputLog:
        cap_bytes = self.job.spec.limits.log_mb << 20
        capped = CappedLog(log, base, cap_bytes, since_epoch)
        report, masked = self._context.progress.reporter(self.job), self._masking.progress
        tap = ProgressTap(
            capped, lambda told: report(masked(told)), partial(capped.tail, TAIL_BYTES)
        )
        return self._masking.output(tap)

    async def _take_to_end(self, connection: Connection, log: LogAppender) -> None:
        await self._mark_running(connection.output)
        await pump(connection.output, connection.log.append, connection.log)
        while (end := connection.output.end) is None:
            await self._settled()  # not at once again: the connection may be ended each time
            connection = await self._reattach(log)
            await pump(connection.output, connection.log.append, connection.log)
        workload = await self._settled()
        while workload.state is not WorkloadState.EXITED:
            workload = await self._settled()
        self._ring()  # its slot is free, however long its artifacts take
        await self._finish(workload, end, connection.log, log)

    async def _mark_running(self, output: Output) -> None:
        """Before the first byte of the log, which is kept for us meanwhile."""
        if self.job.status is JobStatus.RUNNING:
            return
        try:
            marked = await self._context.transitions.mark_running(
                self.job.job_id, self._context.now()
            )
            if not marked and await self._is_initializing():
                raise LeaseLostError  # what is copied now, the next controller could not place
        except BaseException:
            output.close()
            raise
        self._ring()

    async def _is_initializing(self) -> bool:
        """As the row is now; it may have been moved on since this run was planned."""
        row = await self._context.transitions.get(self.job.job_id)
        return row is not None and row.status is JobStatus.INITIALIZING

    async def _settled(self) -> Workload:
        """The workload once the engine has noticed its end, or at most a while later."""
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        pause = 0.005
        while True:
            workload = await self._inspect()
            if workload.state is WorkloadState.EXITED:
                return workload
            if asyncio.get_running_loop().time() > deadline:
                return workload
            await asyncio.sleep(pause)
            pause *= 1.5

    async def _inspect(self) -> Workload:
        workload = await self._context.executor.inspect(self.job.job_id)
        if workload is None or workload.attempt != self.job.attempt:
            raise WorkloadLostError
        if self.launched_itself and workload.epoch != self._epoch:
            raise WorkloadLostError
        return workload

    async def _finish(
        self, workload: Workload, end: OutputEnd, capped: OutputLog, log: LogAppender
    ) -> None:
        end = await on_thread(self._noted, end, workload, log)
        dropped = await on_thread(capped.finish, end)
        self._has_whole_output = True
        lost = None if self.job.attempt > 1 else end.lost
        self._dropped = None if lost is None else dropped + lost
        if end.exit_code is not None:
            workload = replace(workload, exit_code=end.exit_code)
        # The row as it is now: it tells whether somebody asked for the end.
        job = await self._context.transitions.get(self.job.job_id)
        if job is None:
            return
        # Before its artifacts are collected: that is not the command's time.
        result = outcome(job, workload, dropped, EndFacts(self.stopped, self._times.seconds(job)))
        if lost != 0:
            result = note_lost_output(result)
        left = await self._context.artifacts.collect(job, workload, self._last_try)
        result = left.note(result)
        ending = self._masking.ending(
            Ending(
                result,
                log.size,
                self._dropped,
                left.artifacts,
                left.tests,
                left.coverage,
                left.coverage_files,
            )
        )
        await self._end(record(self.job.job_id, ending, log, self._context), log)

    def _noted(self, end: OutputEnd, workload: Workload, log: LogAppender) -> OutputEnd:
        """With the line that says that the command was not found, if it was not."""
        code = workload.exit_code if end.exit_code is None else end.exit_code
        if not may_be_missing(code, end.size):
            return end
        output = log.read(workload.log_base, end.size)
        return replace(end, note=missing_command_line(self.job.spec.command[0], output))

    async def _fail(self, reason: Reason, message: str, log: LogAppender) -> None:
        result = Outcome(JobStatus.FAILED, reason, message)
        if self.launched and not self._has_whole_output and reason is not Reason.LAUNCH_FAILED:
            # It wrote on, perhaps, and nobody reads that any more.
            result, self._dropped = note_lost_output(result), None
        ending = self._masking.ending(Ending(result, log.size, self._dropped))
        await self._end(record_failure(self.job.job_id, ending, log, self._context), log)

    async def _end(self, recording: Awaitable[bool], log: LogAppender) -> None:
        self.ending = True
        self.finished = await recording
        if self.finished:
            await clean_up(self.job.job_id, log, self._context)


def note_retry(logs: LogWriter, job: Job, epoch: int) -> None:
    """Write to the log that the next attempt begins. Not at its launch, which may take several
    tries.
    """
    log = logs.open(job.job_id, epoch)
    try:
        if not log.at_line_start:
            log.append(b"\n")
        log.append(b"[attempt %d: the one before was lost]\n" % (job.attempt + 1))
    finally:
        log.close()
