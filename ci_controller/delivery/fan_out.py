"""Makes messages of job events: for subscriptions, and for what jobs asked for."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from ci_common.deliveries import (
    OF_JOBS,
    Message,
    NotifiedJob,
    Subscription,
    new_message_id,
)
from ci_common.errors import EventsGoneError, LeaseLostError
from ci_common.event_feed import follow_events
from ci_common.job import format_time
from ci_common.job_event_wire import job_event_json
from ci_common.job_events import EventCursor, JobEvent, JobEventKind
from ci_common.notify_targets import read_target
from ci_common.ports.delivery import DeliveryQueue
from ci_common.ports.events import EventBatch, JobEvents
from ci_common.ports.signals import JobSignals

logger = logging.getLogger(__name__)

_KEEP_SECONDS = 60.0
"""Events that nobody wants move the cursor in the database this often at most: after a restart they
are read again, and nobody wants them then either.
"""


class FanOut:
    """A cursor over the events of all jobs."""

    def __init__(
        self,
        queue: DeliveryQueue,
        events: JobEvents,
        signals: JobSignals,
        public_url: str | None,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._events = events
        self._signals = signals
        self._public_url = public_url
        self._now = now
        self._clock = clock

    async def run(self, enqueued: Callable[[], None]) -> None:
        """Follow the events without end, and call `enqueued` after there are new messages.

        Raises LeaseLostError when another process does this by now, and what the stores raise.
        """
        stored = position = await self._queue.cursor()
        stored_at = self._clock()
        while True:
            try:
                async with aclosing(
                    follow_events(self._events, self._signals, position)
                ) as batches:
                    async for batch in batches:
                        position = batch.cursor
                        messages = await self._messages(batch)
                        if not messages and self._clock() < stored_at + _KEEP_SECONDS:
                            continue
                        await self._enqueue(messages, stored, position)
                        stored, stored_at = position, self._clock()
                        if messages:
                            enqueued()
            except EventsGoneError as error:
                logger.debug("notifications: events of deleted jobs were removed")
                position = error.resume

    async def _enqueue(
        self, messages: Sequence[Message], before: EventCursor, after: EventCursor
    ) -> None:
        if not await self._queue.enqueue(messages, before, after, self._now()):
            raise LeaseLostError

    async def _messages(self, batch: EventBatch) -> list[Message]:
        subscriptions = await self._queue.subscriptions()
        wanted = {
            event.job_id
            for event in batch.events
            if event.kind is JobEventKind.FINISHED or any(one.wants(event) for one in subscriptions)
        }
        jobs = await self._queue.jobs(wanted) if wanted else {}
        return [
            message
            for event in batch.events
            if event.job_id in wanted
            for message in self._of_event(event, subscriptions, jobs)
        ]

    def _of_event(
        self,
        event: JobEvent,
        subscriptions: Sequence[Subscription],
        jobs: Mapping[str, NotifiedJob],
    ) -> Iterator[Message]:
        job = jobs.get(event.job_id)
        payload = event_payload(event, job, self._public_url)
        for one in subscriptions:
            if one.wants(event):
                yield Message(
                    new_message_id(),
                    event.tenant,
                    one.subscription_id,
                    one.channel,
                    one.address,
                    one.subscription_id,
                    payload["type"],
                    event.job_id,
                    payload,
                )
        if event.kind is not JobEventKind.FINISHED or job is None:
            return
        for text in job.notify:
            target = read_target(text)
            yield Message(
                new_message_id(),
                event.tenant,
                OF_JOBS,
                target.channel,
                target.address,
                f"{event.tenant}/{target.channel.value}/{target.host}",
                payload["type"],
                event.job_id,
                payload,
            )


def event_payload(
    event: JobEvent, job: NotifiedJob | None, public_url: str | None
) -> dict[str, Any]:
    """What receivers read: the event as the stream of events has it, and about its job."""
    about = job and {
        "name": job.name,
        "title": job.title,
        "labels": job.labels,
        "url": f"{public_url}/ui/jobs/{event.job_id}" if public_url else None,
    }
    return {
        "type": f"job.{event.kind.value}",
        "timestamp": format_time(event.at),
        "data": {**job_event_json(event), "job": about},
    }
