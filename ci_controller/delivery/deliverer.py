"""Delivers messages, while this process holds the lease."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import override

from ci_common.deliveries import RETRY_SECONDS, Attempt, Delivery
from ci_common.errors import LeaseLostError, StorageUnavailableError
from ci_common.notify_targets import Channel
from ci_common.ports.delivery import DeliveryQueue
from ci_controller.delivery.fan_out import FanOut
from ci_controller.delivery.sender import Sender
from ci_controller.reconcile.duty import LeaderDuty

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 32
MOST_OF_TENANT = 4
"""Messages under way. One tenant's slow receivers leave room for those of others."""

_LOOK_SECONDS = 1.0
"""Between looks for messages whose time has come, or that another process has added."""
_PAUSE_SECONDS = 2.0
"""After the database could not be used."""
_TIDY_SECONDS = 60.0
_MOST_REST_SECONDS = 60.0


@dataclass(slots=True)
class _Rest:
    """Of a lane whose receiver fails."""

    failures: int
    until: float


class Deliverer(LeaderDuty):
    """Messages of one lane are sent one after the other; lanes do not wait for one another.

    A message that failed waits for its next attempt, and younger ones overtake it. A lane whose
    receiver fails again and again rests up to a minute after each attempt.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        fan_out: FanOut,
        senders: Mapping[Channel, Sender],
        days: float,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._fan_out = fan_out
        self._senders = senders
        self._days = days
        self._now = now
        self._clock = clock
        self._wake = asyncio.Event()
        self._under_way: dict[str, Delivery] = {}
        self._rests: dict[str, _Rest] = {}

    @override
    async def run(self, epoch: int) -> None:
        self._under_way.clear()
        self._rests.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._lasting(lambda: self._fan_out.run(self._wake.set)))
            tasks.create_task(self._lasting(self._tidy))
            tasks.create_task(self._lasting(lambda: self._send_all(tasks)))

    async def _lasting(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin again after whatever went wrong."""
        while True:
            try:
                await work()
            except (StorageUnavailableError, LeaseLostError) as error:
                logger.debug("notifications wait: %s", error)
            except Exception:
                logger.exception("notifications failed; trying again")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _send_all(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            for delivery in await self._queue.due(self._now(), self._busy(), MOST_OF_TENANT):
                if self._has_room(delivery):
                    self._under_way[delivery.message.lane] = delivery
                    tasks.create_task(self._deliver(delivery))
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _busy(self) -> set[str]:
        """Lanes that are not to be looked at now."""
        now = self._clock()
        resting = {lane for lane, rest in self._rests.items() if rest.until > now}
        return resting | self._under_way.keys()

    def _has_room(self, delivery: Delivery) -> bool:
        tenants = Counter(one.message.tenant for one in self._under_way.values())
        return (
            len(self._under_way) < MOST_AT_ONCE
            and tenants[delivery.message.tenant] < MOST_OF_TENANT
        )

    async def _deliver(self, delivery: Delivery) -> None:
        lane = delivery.message.lane
        noted = False
        try:
            attempt = await self._attempt(delivery)
            noted = await self._queue.note(delivery, attempt, self._now())
            _log(delivery, attempt)
            if attempt.delivered and noted:
                self._rests.pop(lane, None)
        except StorageUnavailableError as error:
            logger.debug("message %s: not noted: %s", delivery.message.message_id, error)
        except Exception:
            logger.exception("message %s cannot be delivered", delivery.message.message_id)
        finally:
            del self._under_way[lane]
        if not noted or not attempt.delivered:
            self._let_rest(lane)
        self._wake.set()

    async def _attempt(self, delivery: Delivery) -> Attempt:
        sender = self._senders.get(delivery.message.channel)
        if sender is None:
            return Attempt(False, error="this server sends no e-mail: CI_SMTP_URL is not set")
        try:
            return await sender.send(delivery.message)
        except StorageUnavailableError:
            raise
        except Exception:
            logger.exception("message %s cannot be sent", delivery.message.message_id)
            return Attempt(False, error="internal error; the server's log has the details")

    def _let_rest(self, lane: str) -> None:
        failures = self._rests[lane].failures + 1 if lane in self._rests else 1
        seconds = min(2.0 ** (failures - 1) / 2, _MOST_REST_SECONDS)
        self._rests[lane] = _Rest(failures, self._clock() + seconds)

    async def _tidy(self) -> None:
        while True:
            changed = await self._queue.tidy(self._now(), self._days)
            self._forget_rests()
            await asyncio.sleep(_LOOK_SECONDS if changed else _TIDY_SECONDS)

    def _forget_rests(self) -> None:
        long_ago = self._clock() - 10 * _MOST_REST_SECONDS
        self._rests = {lane: rest for lane, rest in self._rests.items() if rest.until > long_ago}


def _log(delivery: Delivery, attempt: Attempt) -> None:
    message = delivery.message
    whose = message.owner or f"jobs of {message.tenant}"
    if attempt.delivered:
        logger.debug("message %s of %s delivered", message.message_id, whose)
        return
    gave_up = attempt.final or delivery.attempts >= len(RETRY_SECONDS)
    logger.log(
        logging.WARNING if gave_up else logging.INFO,
        "message %s of %s %s: %s",
        message.message_id,
        whose,
        "given up" if gave_up else "not delivered yet",
        attempt.error,
    )
