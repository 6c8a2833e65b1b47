"""Subscriptions to job events, and the messages that are delivered because of them."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ci_common.job import JobStatus, Visibility
from ci_common.job_events import JobEvent, JobEventKind
from ci_common.notify_targets import Channel

NOTIFIABLE = tuple(kind for kind in JobEventKind if kind is not JobEventKind.PROGRESS)
"""Progress replaces itself up to once a second, which is for a stream and not for messages."""

OF_JOBS = ""
"""Stands in place of a subscription's id in what jobs asked for themselves."""

TEST_TYPE = "ci.test"

RETRY_SECONDS = (1, 10, 60, 600, 3600, 3 * 3600, 9 * 3600, 12 * 3600)
"""Pauses between attempts: about 25 hours in all; then the message is given up."""


class DeliveryState(StrEnum):
    """What became of a message."""

    PENDING = "pending"
    """It was not delivered yet, and will be tried again."""
    DELIVERED = "delivered"
    """The receiver confirmed it."""
    FAILED = "failed"
    """It was given up. An operator can have it delivered again."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Events of a tenant's jobs that are sent to one address."""

    subscription_id: str
    tenant: str
    channel: Channel
    address: str
    kinds: tuple[JobEventKind, ...]
    created_at: datetime
    private: bool = False
    """Whether events of private jobs are sent, too."""
    only_failures: bool = False
    """Whether of `finished` only jobs are sent that did not succeed."""
    after_seq: int = 0
    """The last event before it, of the stream of events."""
    disabled: str | None = None
    """Why nothing is sent, for people."""

    def wants(self, event: JobEvent) -> bool:
        """Whether the event is to be sent."""
        return (
            self.disabled is None
            and event.tenant == self.tenant
            and event.seq > self.after_seq
            and event.kind in self.kinds
            and (self.private or event.visibility is Visibility.TENANT)
            and not (self.only_failures and _succeeded(event))
        )


@dataclass(frozen=True, slots=True)
class NotifiedJob:
    """What a message says of its job, beside the event."""

    name: str
    title: str | None
    labels: dict[str, str]
    notify: tuple[str, ...]
    """Where the job asked for messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to deliver."""

    message_id: str
    """The same in every attempt."""
    tenant: str
    owner: str
    """The id of the subscription, or `OF_JOBS`."""
    channel: Channel
    address: str
    lane: str
    """Messages of a lane are sent one at a time."""
    type: str
    job_id: str | None
    payload: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message, and what became of it so far."""

    number: int
    """In the order of the events."""
    message: Message
    created_at: datetime
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    """Of the next attempt."""
    attempted_at: datetime | None
    status_code: int | None
    """HTTP status of the last answer, if there was one."""
    error: str | None
    """Why the last attempt failed, for people."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt to deliver a message went."""

    delivered: bool
    status_code: int | None = None
    error: str | None = None
    final: bool = False
    """Whether it is of no use to try again."""
    disable: bool = False
    """Whether the receiver asked for no more messages at all."""


def new_message_id() -> str:
    """Of a message."""
    return f"msg_{uuid.uuid4().hex}"


def new_subscription_id(channel: Channel) -> str:
    """Of a subscription."""
    return f"{'wh' if channel is Channel.WEBHOOK else 'ml'}_{uuid.uuid4().hex[:12]}"


def _succeeded(event: JobEvent) -> bool:
    facts = event.facts
    return (
        event.kind is JobEventKind.FINISHED
        and facts.get("status") == JobStatus.COMPLETED.value
        and facts.get("exit_code") == 0
    )
