"""What happens to jobs, for every door that tells it live."""

from collections.abc import AsyncGenerator

from ci_common.errors import InvalidEventCursorError
from ci_common.job_events import EventCursor
from ci_common.policy import Policy
from ci_common.ports.events import EventBatch
from ci_common.principal import Principal
from ci_server.streams.event_feed import EventFeed


class JobEventService:
    """Every method takes the principal who asks, and tells only of jobs that they may list."""

    def __init__(self, feed: EventFeed, policy: Policy) -> None:
        self._feed = feed
        self._policy = policy

    async def begin(self, position: str | None, *, all_stored: bool = False) -> EventCursor:
        """Where a reader begins: at a cursor that it was given before, or without one before the
        oldest event that is stored, or after the newest.

        Raises InvalidEventCursorError, StorageUnavailableError.
        """
        if position is not None:
            try:
                return EventCursor.parse(position)
            except ValueError:
                raise InvalidEventCursorError from None
        return await (self._feed.earliest() if all_stored else self._feed.latest())

    async def page(
        self, principal: Principal, cursor: EventCursor, limit: int, *, mine: bool = False
    ) -> EventBatch:
        """The next events that are stored, at most `limit`, of the jobs that `follow` tells of.

        Raises ForbiddenError, EventsGoneError, StorageUnavailableError.
        """
        return await self._feed.page(cursor, self._policy.listed(principal, mine=mine), limit)

    def follow(
        self, principal: Principal, cursor: EventCursor, *, mine: bool = False
    ) -> AsyncGenerator[EventBatch, None]:
        """Batches of events, without end: of all jobs that the principal may list, or only of
        those that are `mine`: of the principal.

        Raises ForbiddenError at once, and later what `EventFeed.follow` raises.
        """
        return self._feed.follow(cursor, self._policy.listed(principal, mine=mine))
