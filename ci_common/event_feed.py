"""Follows the events of jobs as they come."""

from collections.abc import AsyncGenerator
from contextlib import closing

from ci_common.job_events import EventCursor
from ci_common.policy import JobScope
from ci_common.ports.events import EventBatch, JobEvents
from ci_common.ports.signals import JobSignals

ALL_JOBS = JobScope()

_BATCH = 500
_FIRST_LOOK_SECONDS = 0.02
_LAST_LOOK_SECONDS = 0.25
"""Without news it looks less and less often, down to four times a second: writers in other
processes tell nobody (decision 3).
"""


async def follow_events(
    events: JobEvents, signals: JobSignals, cursor: EventCursor, scope: JobScope = ALL_JOBS
) -> AsyncGenerator[EventBatch, None]:
    """Batches of one event or more, for ever. Whoever has dealt with one may keep its cursor, and
    begin there the next time.

    Raises what `JobEvents.after` raises: after EventsGoneError, begin anew at its cursor. Each
    follower looks at the database; many readers in one process should share one.
    """
    with closing(signals.subscribe_events()) as news:
        pause = _FIRST_LOOK_SECONDS
        while True:
            batch = await events.after(cursor, scope, _BATCH)
            cursor = batch.cursor
            if batch.events:
                yield batch
                pause = _FIRST_LOOK_SECONDS
            elif await news.wait(pause):
                pause = _FIRST_LOOK_SECONDS
            else:
                pause = min(pause * 2, _LAST_LOOK_SECONDS)
