"""What a watcher is told, in the order it happened: job_id?, status*, waiting*, log*,
complete.

How an event looks on the wire each door decides; clients ignore types they do not know.
"""

from dataclasses import dataclass

from ci_common.job import Job, JobStatus
from ci_common.waiting import Waiting


@dataclass(frozen=True, slots=True)
class JobIdEvent:
    """The submission was accepted and is durable."""

    job_id: str


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """The job moved, and is not finished."""

    status: JobStatus
    position: int | None = None
    """The place of a queued job among those of its tenant, from 1, in the order of their start."""


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """Why the job waits, or waits on. Only some doors tell it."""

    waiting: Waiting


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A run of the log's bytes, which may hold many lines, or a part of one."""

    content: bytes
    end_offset: int
    """The offset in the log after the last byte of `content`: the event's id."""


@dataclass(frozen=True, slots=True)
class CompleteEvent:
    """The job finished. No event follows, and nothing else tells the result."""

    job: Job


Event = JobIdEvent | StatusEvent | WaitingEvent | LogEvent | CompleteEvent
