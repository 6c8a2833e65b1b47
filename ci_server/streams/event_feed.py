"""Job events for all readers of this process, who share one look at the database."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import NoReturn

from ci_common.errors import EventsGoneError, StorageUnavailableError
from ci_common.event_feed import follow_events
from ci_common.job_events import EventCursor, JobEvent
from ci_common.policy import JobScope
from ci_common.ports.events import EventBatch, JobEvents
from ci_common.ports.signals import JobSignals

logger = logging.getLogger(__name__)

MOST_EVENTS = 500
"""Of one batch that is read from the database."""

_MOST_REMEMBERED = 2000
"""Events in memory. A reader that is further behind reads the database."""

_PAUSE_AFTER_FAILURE_SECONDS = 1.0


@dataclass(slots=True)
class _Recent:
    """The newest events, without gaps."""

    begin: EventCursor
    """The position before the first of them."""
    end: EventCursor
    """The position after the last."""
    events: deque[JobEvent] = field(default_factory=deque)

    def add(self, batch: EventBatch) -> None:
        self.events.extend(batch.events)
        self.end = batch.cursor
        while len(self.events) > _MOST_REMEMBERED:
            self.begin = EventCursor(
                self.begin.stream, self.events.popleft().seq, self.begin.reported
            )

    def after(self, cursor: EventCursor, scope: JobScope) -> EventBatch | None:
        """What follows the cursor; `None` when only the database knows."""
        if cursor.stream != self.begin.stream or cursor.seq < self.begin.seq:
            return None
        if cursor.seq > self.end.seq:
            return None  # this reader was quicker, or an older copy of the database is in place
        if max(cursor.seq, cursor.reported) < self.begin.reported:
            return None  # something was removed that this reader has not heard of
        found: deque[JobEvent] = deque()
        for event in reversed(self.events):
            if event.seq <= cursor.seq:
                break
            if scope.covers(event):
                found.appendleft(event)
        end = EventCursor(cursor.stream, self.end.seq, cursor.reported)
        return EventBatch(tuple(found), end)


class EventFeed:
    """While there are readers, one task follows the database for all of them and remembers the
    newest events; a reader that has caught up gets its own from there.
    """

    def __init__(
        self,
        events: JobEvents,
        signals: JobSignals,
        note: Callable[[JobEvent], None] = lambda event: None,
    ) -> None:
        """`note` is called with the newest event of those that arrive together."""
        self._events = events
        self._note = note
        self._signals = signals
        self._recent: _Recent | None = None
        self._changed = asyncio.Event()
        self._readers = 0
        self._task: asyncio.Task[NoReturn] | None = None

    async def latest(self) -> EventCursor:
        """The position after the newest event. Raises StorageUnavailableError."""
        return await self._events.latest()

    async def earliest(self) -> EventCursor:
        """The position before the oldest stored event. Raises StorageUnavailableError."""
        return await self._events.earliest()

    async def page(self, cursor: EventCursor, scope: JobScope, limit: int) -> EventBatch:
        """See `JobEvents.after`."""
        return await self._events.after(cursor, scope, limit)

    async def follow(
        self, cursor: EventCursor, scope: JobScope
    ) -> AsyncGenerator[EventBatch, None]:
        """Yield batches of what the scope covers, without end; one without events tells that the
        cursor has moved over events of others.

        Raises what `JobEvents.after` raises; after EventsGoneError, call again with its cursor.
        """
        async with self._shared():
            while True:
                changed, recent = self._changed, self._recent
                batch = recent.after(cursor, scope) if recent is not None else None
                if batch is None:
                    batch = await self._events.after(cursor, scope, MOST_EVENTS)
                moved = batch.cursor != cursor
                cursor = batch.cursor
                if batch.events or moved:
                    yield batch
                else:
                    await changed.wait()

    @asynccontextmanager
    async def _shared(self) -> AsyncIterator[None]:
        self._readers += 1
        if self._task is None:
            # For all who read, not for the request that happens to be the first.
            self._task = asyncio.create_task(
                self._keep_fresh(), name="event feed", context=Context()
            )
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0 and self._task is not None:
                self._task.cancel()
                self._task = self._recent = None

    async def _keep_fresh(self) -> NoReturn:
        while True:
            try:
                await self._follow_all()
            except EventsGoneError as error:
                self._begin_at(error.resume)
            except StorageUnavailableError as error:
                logger.debug("job events cannot be read now: %s", error)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            except Exception:
                logger.exception("job events cannot be read; trying again")
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)

    async def _follow_all(self) -> None:
        recent = self._recent or self._begin_at(await self._events.latest())
        async with aclosing(follow_events(self._events, self._signals, recent.end)) as batches:
            async for batch in batches:
                recent.add(batch)
                self._wake()
                self._note(batch.events[-1])

    def _begin_at(self, cursor: EventCursor) -> _Recent:
        self._recent = recent = _Recent(cursor, cursor)
        self._wake()
        return recent

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
