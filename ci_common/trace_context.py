"""Which trace a job, and a line of the log, belong to (W3C Trace Context).

A job is in the trace of whoever submitted it with a `traceparent`, and else in one of its own,
whose id is the job's. Span ids are made of the job's id: whichever process tells of a job, before
or after a restart, comes to the same ones.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import override

from ci_common.job import Job, utc_now

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,512})?")
_NEWEST_VERSION = "00"
_INVALID_VERSION = "ff"
_MOST_NOTED = 10_000

_request: ContextVar["TraceContext | None"] = ContextVar("traceparent", default=None)
_began: ContextVar[datetime | None] = ContextVar("request began", default=None)
_job: ContextVar[str | None] = ContextVar("job", default=None)
_traces: OrderedDict[str, str] = OrderedDict()
"""By job id, of jobs in traces of others that this process came across last."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span that others are below; ids in hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool = True
    """Whether whoever began the trace records it."""

    @classmethod
    def parse(cls, header: str | None) -> "TraceContext | None":
        """Of `traceparent`; `None` for anything that is not one."""
        found = _HEADER.fullmatch(header) if header is not None else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        is_empty = not int(trace_id, 16) or not int(span_id, 16)
        if version == _INVALID_VERSION or is_empty or (version == _NEWEST_VERSION and more):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & 1))

    @override
    def __str__(self) -> str:
        """As a header."""
        return f"{_NEWEST_VERSION}-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def begin_request_trace(header: str | None) -> None:
    """Name the trace of the request that the running task serves."""
    _request.set(TraceContext.parse(header))
    _began.set(utc_now())


def request_trace() -> TraceContext | None:
    """That of the running request, if its client is in one."""
    return _request.get()


def request_began() -> datetime | None:
    """When the running request began; `None` outside of any."""
    return _began.get()


@contextmanager
def about_job(job: Job) -> Iterator[None]:
    """Lines of the log are about this job, in the running task and in those that it starts."""
    note_job(job)
    token = _job.set(job.job_id)
    try:
        yield
    finally:
        _job.reset(token)


def begin_job(job: Job) -> None:
    """Lines of the running request are about this job from now on, which it made."""
    note_job(job)
    _job.set(job.job_id)


def note_job(job: Job) -> None:
    """Remember the trace of a job whose submitter is in one."""
    if (caller := TraceContext.parse(job.spec.traceparent)) is not None:
        _traces[job.job_id] = caller.trace_id
        while len(_traces) > _MOST_NOTED:
            _traces.popitem(last=False)


def current_job() -> str | None:
    """The id of the job that the running task is about."""
    return _job.get()


def trace_id_of(job_id: str) -> str:
    """The id of the trace that the job with this id is in, as far as this process knows."""
    return _traces.get(job_id) or own_trace_id(job_id)


def own_trace_id(job_id: str) -> str:
    """The id of the trace of a job whose submitter is in none."""
    return job_id.replace("-", "")


def span_id_of(job_id: str, span: str) -> str:
    """The id of a span of a job, by the span's name."""
    return hashlib.sha256(f"{job_id} {span}".encode()).hexdigest()[:16]
