"""Readers of job events, with a memory of what they saw."""

from ci_common.errors import EventsGoneError
from ci_common.job_events import EventCursor
from ci_common.policy import JobScope
from ci_persistence.sqlite.events import SqliteJobEvents

EVERYTHING = JobScope()


class EventReader:
    """Goes from cursor to cursor; what it saw is checked as it comes."""

    def __init__(self, database, cursor=None, scope=EVERYTHING, limit=100):
        self.events = SqliteJobEvents(database)
        self.cursor = cursor
        self.seen = []
        self.gaps = 0
        """How often it was told that events are gone."""
        self._scope = scope
        self._limit = limit

    async def begin(self):
        """Everything from now on is new."""
        self.cursor = await self.events.latest()
        return self

    async def read(self):
        """What is new, until nothing is; as (kind, job)."""
        if self.cursor is None:
            self.cursor = await self.events.earliest()
        new = []
        while batch := await self._batch():
            new += batch
        self.seen += new
        return [(event.kind.value, event.job_id) for event in new]

    async def kinds(self):
        """What is new, as kinds."""
        return [kind for kind, _ in await self.read()]

    async def _batch(self):
        try:
            batch = await self.events.after(self.cursor, self._scope, self._limit)
        except EventsGoneError as error:
            self.gaps += 1
            self.cursor = error.resume
            return await self._batch()
        before = self.cursor.seq
        for event in batch.events:
            assert event.seq > before, "an event came twice, or out of order"
            before = event.seq
        assert batch.cursor.seq >= before
        self.cursor = EventCursor.parse(str(batch.cursor))  # as one that was stored
        return batch.events
