"""Subscriptions and messages to deliver, split by who uses them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ci_common.deliveries import (
    Attempt,
    Delivery,
    DeliveryState,
    Message,
    NotifiedJob,
    Subscription,
)
from ci_common.job_events import EventCursor
from ci_common.notify_targets import Channel
from ci_common.ports.audit import AuditEntry


class DeliveryQueue(Protocol):
    """The controller's side. What changes rows is fenced by the controller lease: without it,
    nothing happens.

    First read `cursor`, then events after it; `enqueue` what they ask for together with the new
    cursor, so that each event is enqueued once. Send what is `due`, and `note` how it went. A
    process that dies in between has another one send the message again.
    """

    async def cursor(self) -> EventCursor:
        """Up to where events were enqueued."""

    async def subscriptions(self) -> list[Subscription]:
        """Those that are not disabled."""

    async def jobs(self, job_ids: Collection[str]) -> Mapping[str, NotifiedJob]:
        """What is told of these jobs; a deleted one is left out."""

    async def enqueue(
        self, messages: Sequence[Message], before: EventCursor, after: EventCursor, now: datetime
    ) -> bool:
        """Add messages, but those of subscriptions that have been removed or disabled since, and
        move the cursor on. False, and nothing is changed, when the cursor is not at `before` or the
        lease is lost.
        """

    async def due(self, now: datetime, skip: Collection[str], of_tenant: int) -> list[Delivery]:
        """Of each lane that is not skipped the oldest message that is to be tried now; of each
        tenant so many at most.
        """

    async def note(self, delivery: Delivery, attempt: Attempt, now: datetime) -> bool:
        """Record an attempt: the message is delivered, tried again later, or given up. False when
        somebody else did so meanwhile, or the lease is lost.
        """

    async def signing_keys(self, message: Message, now: datetime) -> list[bytes]:
        """The keys to sign a message with: of its subscription, or of its tenant for what jobs
        asked for, made when there is none. Two while a key is being replaced.

        Raises SecretKeyError when they cannot be decrypted.
        """

    async def tidy(self, now: datetime, days: float) -> int:
        """Give up what is too much to wait, and remove a bounded number of ended deliveries that
        are older, or too many; returns how many rows that changed.
        """


class DeliveryAdministration(Protocol):
    """The operator's side. A change is written together with its entry of the audit log."""

    async def add(
        self, subscription: Subscription, key: bytes | None, audit: AuditEntry | None = None
    ) -> None:
        """Add a subscription to the events from now on; `key` signs its messages."""

    async def subscriptions(self, tenant: str | None = None) -> list[Subscription]:
        """The tenant's, or all, oldest first."""

    async def remove(self, subscription_id: str, audit: AuditEntry | None = None) -> bool:
        """Remove it, and give up what is pending of it; False when there is none."""

    async def enable(
        self, subscription_id: str, disabled: str | None, audit: AuditEntry | None = None
    ) -> bool:
        """Send its events from now on; or, with a reason, no more. False when there is none."""

    async def key(self, tenant: str, owner: str) -> bytes | None:
        """The key that signs a subscription's messages, or those that the tenant's jobs ask for.

        Raises SecretKeyError when it cannot be decrypted.
        """

    async def set_key(
        self,
        tenant: str,
        owner: str,
        key: bytes,
        old_until: datetime | None,
        audit: AuditEntry | None = None,
    ) -> None:
        """Sign with another key; until then, with the present one, too."""

    async def enqueue_one(self, message: Message, now: datetime) -> int:
        """Add a message, such as a test; returns its number."""

    async def deliveries(
        self,
        channel: Channel | None = None,
        *,
        owner: str | None = None,
        tenant: str | None = None,
        state: DeliveryState | None = None,
        message_id: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """The newest, newest first."""

    async def redeliver(
        self, message_ids: Sequence[str], now: datetime, audit: AuditEntry | None = None
    ) -> list[str]:
        """Have messages delivered again, under the same ids; returns the ids of those that exist
        and have ended. What was sent to a subscription that is gone or disabled is left out.
        """
