"""The end of a job: said in its log where that is needed, recorded in its row, cleaned up.

A job whose output was read to its end is recorded in one step: whichever process does it comes to
the same result, and finds in the log what another one wrote of it. Any other failure is committed
to in the row before the log says so (`begin_failure`). So a controller that takes over in between
does not take that line for output, and ends the job in the same way, once.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import replace

from ci_common.completion import on_thread
from ci_common.errors import LogCorruptError
from ci_common.failure_line import failure_line, write_failure_line
from ci_common.job import Job, JobStatus, Outcome, Reason
from ci_common.ports.logs import LogAppender
from ci_common.ports.rows import Ending
from ci_controller.output.log_cap import cut_off
from ci_controller.running.outcome import note_lost_output
from ci_controller.running.run_context import RunContext

logger = logging.getLogger(__name__)

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_WORKLOAD_GONE = frozenset({Reason.LOST, Reason.INTERNAL, Reason.CANCELLED})
"""Of jobs that nothing follows when they end: the rest of a running one's output cannot be had."""


async def record(job_id: str, ending: Ending, log: LogAppender, context: RunContext) -> bool:
    """Record the end of a job of which the log has all the output. False when it was not ours to
    record: then nothing may be removed.
    """
    await on_thread(_say, ending, 0, log)
    return await _commit(job_id, ending, log, context)


async def record_failure(
    job_id: str, ending: Ending, log: LogAppender, context: RunContext
) -> bool:
    """The same for a failure after which the output, if there is one, is not read any further."""
    if not await _begin(job_id, ending, log, context):
        return False
    await on_thread(_say, ending, ending.log_size, log)
    return await _commit(job_id, ending, log, context)


async def conclude(job_id: str, outcome: Outcome, log: LogAppender, context: RunContext) -> None:
    """End a job that nothing follows, in this way, or as it was begun to be recorded before."""
    row = await context.transitions.get(job_id)
    if row is None:
        return
    begun = row.failing
    outcome = outcome if begun is None else begun.outcome
    loses_output = row.status is JobStatus.RUNNING and outcome.reason in _WORKLOAD_GONE
    if begun is not None:
        ending = Ending(outcome, min(begun.log_offset, log.size), begun.log_dropped)
    else:
        noted = note_lost_output(outcome) if loses_output else outcome
        ending = Ending(noted, log.size, None if loses_output else 0)
        is_failure = outcome.status is JobStatus.FAILED
        if is_failure and not await _begin(job_id, ending, log, context):
            return
    if loses_output:
        await on_thread(_cut_off, row, ending, log)
    await on_thread(_say, ending, ending.log_size, log)
    if await _commit(job_id, ending, log, context):
        await clean_up(job_id, log, context)


async def finish_queued(job_id: str, outcome: Outcome, context: RunContext) -> None:
    """The same for a job that was never begun: it has no log, so that this needs no files."""
    if await _finish(job_id, Ending(outcome, 0), context):
        logger.info("job %s %s: %s", job_id, outcome.status, outcome.message)
        await _remove_what_it_held(job_id, context)


async def clean_up(job_id: str, log: LogAppender, context: RunContext) -> None:
    """Remove what an ended job held. After the record, so that a crash in between leaves something
    to remove, never a job whose result is gone.
    """
    await on_thread(log.drop_held)
    await _remove_what_it_held(job_id, context)


async def _remove_what_it_held(job_id: str, context: RunContext) -> None:
    await asyncio.to_thread(context.secrets.forget, job_id)
    job = await context.transitions.get(job_id)
    if job is None or not job.package_kept:
        await asyncio.to_thread(context.packages.delete, job_id)
    await context.executor.remove(job_id)


async def _begin(job_id: str, ending: Ending, log: LogAppender, context: RunContext) -> bool:
    await on_thread(log.sync)
    return await context.transitions.begin_failure(job_id, ending)


async def _commit(job_id: str, ending: Ending, log: LogAppender, context: RunContext) -> bool:
    await on_thread(log.sync)
    await context.progress.flush(job_id)
    if not await _finish(job_id, replace(ending, log_size=log.size), context):
        return False
    logger.info("job %s %s: %s", job_id, ending.outcome.status, ending.outcome.message)
    return True


async def _finish(job_id: str, ending: Ending, context: RunContext) -> bool:
    """A package that is damaged is of no use to anybody."""
    keep = context.keeps_packages and ending.outcome.reason is not Reason.PACKAGE_CORRUPT
    ending = replace(ending, resources=context.resources.taken(job_id))
    is_ours = await context.transitions.finish(job_id, ending, context.now(), keep_package=keep)
    if is_ours:
        context.traces.ended(job_id)
    return is_ours


def _say(ending: Ending, start: int, log: LogAppender) -> None:
    what = "the line that says why it failed"
    _if_possible(lambda: write_failure_line(log, ending.outcome, start), what)


def _cut_off(job: Job, ending: Ending, log: LogAppender) -> None:
    """Write the end of the output of a workload that is gone, unless the line of the failure, which
    comes after it, is there.
    """
    line = failure_line(ending.outcome)
    start = max(ending.log_size, log.size - len(line) - 1)
    if line and log.read(start, log.size - start).endswith(line):
        return
    why = "the job's container, or its process, is gone"
    cap_bytes = job.spec.limits.log_mb << 20
    _if_possible(lambda: cut_off(log, ending.log_size, cap_bytes, why), "the end of its output")


def _if_possible(write: Callable[[], object], what: str) -> None:
    """A disk that is full, or broken, keeps no job from its end: its message says the same."""
    try:
        write()
    except (OSError, LogCorruptError) as error:
        logger.warning("a job's log cannot have %s: %s", what, error)
