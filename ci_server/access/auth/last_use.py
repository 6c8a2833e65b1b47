"""Recording when a key or a session was last used, beside the requests."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

RECORDED_EVERY = timedelta(minutes=1)

_CLOSING_SECONDS = 2.0
_MOST_REMEMBERED = 10_000

Record = Callable[[str, datetime], Coroutine[None, None, None]]
"""Note the use of what has this id."""


class LastUse:
    """Records uses in the background: a request waits neither for the disk nor for writers."""

    def __init__(self, kind: str, record: Record, every: timedelta = RECORDED_EVERY) -> None:
        self._kind = kind
        self._record = record
        self._every = every
        self._recorded: dict[str, datetime] = {}
        """When a use was last recorded, by id."""
        self._recordings: set[asyncio.Task[None]] = set()

    def note(self, identifier: str, last: datetime | None, now: datetime) -> None:
        """Record a use now, unless the last one that is known was a moment ago."""
        known = (last, self._recorded.get(identifier))
        if any(moment and timedelta(0) <= now - moment < self._every for moment in known):
            return
        if len(self._recorded) >= _MOST_REMEMBERED:
            self._recorded.clear()
        self._recorded[identifier] = now
        task = asyncio.create_task(self._record(identifier, now))
        self._recordings.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Let what is being recorded be recorded, for a moment. Before the database closes."""
        if self._recordings:
            await asyncio.wait(self._recordings, timeout=_CLOSING_SECONDS)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._recordings.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("could not record the use of %s", self._kind, exc_info=error)
