"""The first span of a job's trace: its submission."""

from datetime import datetime

from ci_common.job import Job
from ci_common.trace_context import request_began, request_trace, span_id_of, trace_id_of
from ci_common.tracing import SUBMIT, Span


def submission_spans(job: Job, now: datetime) -> list[Span]:
    """That of a job that has just been queued, from the head of its request on; none when the
    client does not record its trace.
    """
    caller = request_trace()
    if caller is not None and not caller.sampled:
        return []
    return [
        Span(
            SUBMIT,
            trace_id_of(job.job_id),
            span_id_of(job.job_id, SUBMIT),
            None if caller is None else caller.span_id,
            request_began() or job.created_at,
            now,
            {"ci.job.id": job.job_id, "ci.door": job.door.value},
        )
    ]
