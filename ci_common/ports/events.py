"""The events of jobs, for whoever wants to know what happened: feeds, web hooks, metrics."""

from dataclasses import dataclass
from typing import Protocol

from ci_common.job_events import EventCursor, JobEvent
from ci_common.policy import JobScope


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in the order of their commits, and where to go on."""

    events: tuple[JobEvent, ...]
    cursor: EventCursor
    """After the last of them, or after what is not in the scope, too: never before."""


class JobEvents(Protocol):
    """The events of all jobs. Each is written in the transaction of what it tells of.

    A reader that goes from cursor to cursor sees every event of its scope once, in order, however
    often it, or the server, ends in between. Two things are not kept for it, and only these:

    * A PROGRESS event replaces the one before it of the same job. A reader that is late sees the
      newest.
    * When a job is deleted its events go, and one DELETED event comes. A reader that had not seen
      all of them is told so by EventsGoneError.

    So a reader begins with `latest()`, then reads the jobs, and then goes on from there; or with
    `earliest()`.
    """

    async def latest(self) -> EventCursor:
        """After everything that has happened so far."""

    async def earliest(self) -> EventCursor:
        """Before everything that is kept."""

    async def after(self, cursor: EventCursor, scope: JobScope, limit: int) -> EventBatch:
        """The next events of jobs in the scope, at most `limit`; none when nothing happened.

        Raises EventsGoneError when events of the scope after the cursor were deleted before this
        reader asked for them, or when the cursor is of a history that was replaced by an older
        one (`ci-admin restore`). The error has the cursor to go on from.
        """
