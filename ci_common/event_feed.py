"""Follow job events live."""

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
"""Events of other processes are found by polling, with a pause that grows while there are none
(decision 3).
"""


async def follow_events(
    events: JobEvents, signals: JobSignals, cursor: EventCursor, scope: JobScope = ALL_JOBS
) -> AsyncGenerator[EventBatch, None]:
    """Yield non-empty batches, without end. After processing a batch, store its cursor to resume
    there later.

    Raises what `JobEvents.after` raises; after EventsGoneError, call again with its cursor. Every
    follower polls the database, so readers in one process should share one.
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
