"""Port to read job events, for feeds, webhooks and metrics."""

from dataclasses import dataclass
from typing import Protocol

from ci_common.job_events import EventCursor, JobEvent
from ci_common.policy import JobScope


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in commit order, and the position after them."""

    events: tuple[JobEvent, ...]
    cursor: EventCursor
    """Where to continue. Events outside the scope are already skipped."""


class JobEvents(Protocol):
    """The events of all jobs. Each is written in the transaction of the change it describes.

    A reader that continues from cursor to cursor gets every event in its scope exactly once and in
    order, even if the reader or the server restarts in between. Two exceptions:

    * A PROGRESS event replaces the job's previous one. A slow reader gets only the newest.
    * When a job is deleted its events are removed and one DELETED event is added. A reader that
      had not read all of them gets EventsGoneError.

    To follow current state without a race, get `latest()`, then list the jobs, then read on from
    that cursor. To get everything that is stored, begin at `earliest()`.
    """

    async def latest(self) -> EventCursor:
        """The position after the newest event."""

    async def earliest(self) -> EventCursor:
        """The position before the oldest stored event."""

    async def after(self, cursor: EventCursor, scope: JobScope, limit: int) -> EventBatch:
        """The next events in the scope, at most `limit`; an empty batch when there are none.

        Raises EventsGoneError when events in the scope after the cursor were removed with their
        job, or when the cursor belongs to another stream, which a restored backup has replaced.
        The error carries the cursor to continue with.
        """


class JobHistory(Protocol):
    """The stored events of single jobs."""

    async def of_job(self, job_id: str) -> list[JobEvent]:
        """All that are stored of it, in commit order. Raises StorageUnavailableError."""
