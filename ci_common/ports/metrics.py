"""Metrics: what the processes of one instance share, and what the database knows."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ci_common.job_events import JobEventKind


@dataclass(frozen=True, slots=True)
class Shares:
    """What the other processes of the instance published last."""

    live: Sequence[bytes]
    """Of those that run."""
    ended: bytes | None
    """What all that have ended counted, added up."""


class MetricShares(Protocol):
    """Where processes of one instance leave their metrics for each other. Every method but
    `scraping` blocks, and is for a thread. They raise StorageUnavailableError and OSError.
    """

    def publish(self, content: bytes) -> None:
        """Leave this process's metrics, in place of those it left before. One call at a time."""

    def others(self) -> Shares:
        """Those of the other processes. To be called while `scraping`."""

    def totals(self) -> bytes | None:
        """What `keep_totals` kept last, in whichever process; `None` when it cannot be read."""

    def keep_totals(self, content: bytes) -> None:
        """Keep what is counted for all processes. To be called while `scraping`."""

    def scraping(self) -> AbstractAsyncContextManager[None]:
        """Nobody else of the instance is, so that nothing is counted twice. Raises NotReadyError
        when somebody else takes too long.
        """

    def close(self) -> None:
        """This process ends: what it published last counts for ever."""


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What a tenant keeps."""

    tenant: str
    finished: int
    """Jobs."""
    packages: int
    logs: int
    artifacts: int


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """How things are in the database now."""

    live: Sequence[tuple[str, str, int]]
    """Tenant, status, and how many jobs."""
    stored: Sequence[StoredBytes]
    oldest_queued_at: datetime | None
    heartbeat_at: datetime | None
    """Of the controller; `None` when there never was one."""
    engine_error: bool
    stream: str
    """Of the job events: see EventCursor."""
    last_event: int


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """What of a job event is counted."""

    seq: int
    tenant: str
    kind: JobEventKind
    at: datetime
    attempt: int
    status: str | None
    reason: str | None
    exit_code: int | None
    log_size: int
    artifacts_size: int
    created_at: datetime | None
    """Of the job; `None` when it was deleted."""
    started_at: datetime | None
    claimed_at: datetime | None
    """When the attempt began, of an event of kind STARTED."""


class MetricFacts(Protocol):
    """Facts for metrics. Each method is one query that reads indexes, or a bounded number of rows,
    however many jobs are kept. They raise StorageUnavailableError.
    """

    async def now(self) -> InstanceFacts:
        """How things are. Costs O(tenants + live jobs)."""

    async def events(self, after: int, limit: int) -> list[CountedEvent]:
        """The next job events in order, at most `limit`."""
