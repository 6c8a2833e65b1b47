"""The trace of a job, made of its events at its end: submission, queue, and each attempt's launch
and run. So it is whole whichever controllers had the job, and no step of a job waits for it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime

from ci_common.errors import RunnerError
from ci_common.job import Job
from ci_common.job_events import JobEvent, JobEventKind
from ci_common.ports.events import JobHistory
from ci_common.trace_context import TraceContext, own_trace_id, span_id_of
from ci_common.tracing import NO_TRACER, SUBMIT, Span, Tracer, Value

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0

JOB, QUEUE, LAUNCH, RUN = "job", "queue", "launch", "run"
"""The names of spans."""


class JobTraces:
    """Records the traces of jobs that this controller has ended."""

    def __init__(
        self,
        tracer: Tracer,
        history: JobHistory | None,
        row: Callable[[str], Awaitable[Job | None]],
    ) -> None:
        self._tracer = tracer
        self._history = history
        self._row = row
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, job_id: str) -> None:
        """Record that of a job whose end is recorded; soon."""
        if self._history is None or not self._tracer.is_recording:
            return
        task = asyncio.create_task(self._record(job_id, self._history), name="job trace")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a moment for those that are being made."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()

    async def _record(self, job_id: str, history: JobHistory) -> None:
        try:
            job = await self._row(job_id)
            if job is not None:
                self._tracer.record(*spans_of(job, await history.of_job(job_id)))
        except RunnerError as error:
            logger.warning("job %s: there is no trace of it: %s", job_id, error)
        except Exception:
            logger.exception("job %s: there is no trace of it", job_id)


async def _no_row(_: str) -> None:
    return None


NO_TRACES = JobTraces(NO_TRACER, None, _no_row)


def spans_of(job: Job, events: Sequence[JobEvent]) -> list[Span]:
    """The spans of an ended job but the submission's; none when its caller does not record."""
    caller = TraceContext.parse(job.spec.traceparent)
    if job.ended_at is None or (caller is not None and not caller.sampled):
        return []
    trace_id = own_trace_id(job.job_id) if caller is None else caller.trace_id
    root = span_id_of(job.job_id, JOB)
    outcome = job.outcome
    attributes: dict[str, Value] = {
        "ci.job.id": job.job_id,
        "ci.job.name": job.spec.name,
        "ci.job.status": job.status.value,
        "ci.job.reason": outcome.reason.value if outcome else "",
        "ci.job.attempts": job.attempt,
    }
    if outcome is not None and outcome.exit_code is not None:
        attributes["ci.job.exit_code"] = outcome.exit_code
    error = None if outcome is None or outcome.success else outcome.reason.value
    above = span_id_of(job.job_id, SUBMIT)
    spans = [Span(JOB, trace_id, root, above, job.created_at, job.ended_at, attributes, error)]
    for name, attempt, start, end, failure in _phases(job.created_at, job.ended_at, events, error):
        own = span_id_of(job.job_id, f"{name} {attempt}")
        about: dict[str, Value] = {"ci.job.id": job.job_id, "ci.job.attempt": attempt}
        spans.append(Span(name, trace_id, own, root, start, end, about, failure))
    return spans


def _phases(
    created: datetime, ended: datetime, events: Sequence[JobEvent], error: str | None
) -> Iterator[tuple[str, int, datetime, datetime, str | None]]:
    """Each with its attempt, beginning, end, and why it failed, one after the other."""
    name, attempt, since = QUEUE, 1, created
    for event in events:
        match event.kind:
            case JobEventKind.CLAIMED:
                yield name, attempt, since, event.at, None
                name, since = LAUNCH, event.at
            case JobEventKind.STARTED:
                yield name, attempt, since, event.at, None
                name, since = RUN, event.at
            case JobEventKind.RETRIED:
                yield name, attempt, since, event.at, "lost"
                name, attempt, since = LAUNCH, attempt + 1, event.at
    yield name, attempt, since, ended, error
