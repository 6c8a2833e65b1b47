"""One job's way from its claim to its end: launch, copy the log, record, clean up."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from ci_common.errors import EngineUnavailableError, JobError, WorkloadLostError
from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports import (
    Executor,
    JobTransitions,
    LogAppender,
    LogWriter,
    Output,
    Packages,
    Workload,
    WorkloadState,
)
from ci_controller.log_pump import pump
from ci_controller.plan import outcome

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
"""For so long after its output ended an engine may still call a workload running."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with."""

    transitions: JobTransitions
    executor: Executor
    logs: LogWriter
    packages: Packages
    now: Callable[[], datetime]


class JobRun:
    """Takes one job to its end. When it is cancelled, or the engine goes away, it leaves the
    job as it is, and another run carries on from there.
    """

    def __init__(self, job: Job, tools: Tools) -> None:
        self.job = job
        self.launched = False
        """Whether there is a started workload, which must be stopped before the job can end."""
        self.ending = False
        """Whether this run is recording the end and cleaning up, which is not to be cut short."""
        self.finished = False
        """Whether this run recorded the end."""
        self._tools = tools

    async def start(self) -> None:
        """Launch the workload of a claimed job and follow it."""
        await self._guard(self._launch)

    async def follow(self) -> None:
        """Follow a workload that an earlier run launched."""
        self.launched = True
        await self._guard(self._reattach)

    async def _guard(self, connect: Callable[[LogAppender], Awaitable[Output]]) -> None:
        log = self._tools.logs.open(self.job.job_id)
        try:
            await self._take_to_end(await connect(log), log)
        except EngineUnavailableError as error:
            logger.warning("job %s waits: %s", self.job.job_id, error)
        except WorkloadLostError:
            # Seen missing once. The plan calls it lost when it stays missing.
            logger.warning("job %s: its workload cannot be found", self.job.job_id)
        except JobError as error:
            await self._fail(error.reason, error.message, log)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            await self._fail(Reason.DISK_FULL, f"the server cannot store the log: {error}", log)
        finally:
            log.close()

    async def _launch(self, log: LogAppender) -> Output:
        package = await asyncio.to_thread(self._tools.packages.verified, self.job)
        output = await self._tools.executor.launch(self.job, package, log)
        self.launched = True
        return output

    async def _reattach(self, log: LogAppender) -> Output:
        workload = await self._inspect()
        # After a power cut the log may end before the point where this output begins.
        skip = max(log.size - workload.log_base, 0)
        return await self._tools.executor.reattach(self.job.job_id, skip)

    async def _take_to_end(self, output: Output, log: LogAppender) -> None:
        had_exited = False
        while True:
            await self._copy(output, log)
            output_ended = self._tools.now()
            workload = await self._settled()
            if workload.state is WorkloadState.EXITED:
                # A workload that outlived its output may have written more: the connection may
                # have dropped. Once is enough, whatever the clocks say.
                if had_exited or not workload.finished_at or workload.finished_at <= output_ended:
                    break
                had_exited = True
            # The job closed its output and goes on, or the connection dropped. The engine's
            # own copy of the log tells, and ends when the workload does.
            output = await self._reattach(log)
        await self._finish(workload, log)

    async def _copy(self, output: Output, log: LogAppender) -> None:
        copying = asyncio.create_task(pump(output, log.append))
        try:
            await self._tools.transitions.mark_running(self.job.job_id, self._tools.now())
            await copying
        finally:
            copying.cancel()
            await asyncio.wait([copying])

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
        workload = await self._tools.executor.inspect(self.job.job_id)
        if workload is None:
            raise WorkloadLostError
        return workload

    async def _finish(self, workload: Workload, log: LogAppender) -> None:
        # The row as it is now: it tells whether somebody asked for the end.
        job = await self._tools.transitions.get(self.job.job_id)
        if job is not None:
            await self._end(job, outcome(job, workload), log)

    async def _fail(self, reason: Reason, message: str, log: LogAppender) -> None:
        await self._end(self.job, Outcome(JobStatus.FAILED, reason, message), log)

    async def _end(self, job: Job, result: Outcome, log: LogAppender) -> None:
        self.ending = True
        self.finished = await finish(job, result, log, self._tools)


async def finish(job: Job, result: Outcome, log: LogAppender, tools: Tools) -> bool:
    """Record the end, then remove what the job held. False when it was not ours to record.

    In this order, so that a crash in between leaves something to remove, never a job whose
    result is gone. Without the lease nothing is recorded, and nothing removed.
    """
    await asyncio.to_thread(log.sync)
    if not await tools.transitions.finish(job.job_id, result, log.size, tools.now()):
        return False
    logger.info("job %s %s: %s", job.job_id, result.status, result.message)
    await asyncio.to_thread(tools.packages.delete, job.job_id)
    await tools.executor.remove(job.job_id)
    return True
