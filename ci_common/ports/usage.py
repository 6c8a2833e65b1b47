"""Usage and quotas of tenants."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Quotas:
    """Bounds on what is there of each tenant and user; `None` does not bound."""

    live_jobs_per_tenant: int | None = None
    """Queued, initializing and running."""
    live_jobs_per_user: int | None = None
    """The same of one user of the tenant."""
    stored_bytes_per_tenant: int | None = None
    """See TenantUsage.stored_bytes."""


NO_QUOTAS = Quotas()
"""Nothing is bounded."""


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What there is of one tenant."""

    tenant: str
    queued: int = 0
    initializing: int = 0
    running: int = 0
    finished: int = 0
    """Jobs that are kept."""
    package_bytes: int = 0
    """Of the uploads of live jobs, and of those that are kept after their jobs' ends."""
    log_bytes: int = 0
    """Of the logs of finished jobs, as they are on disk."""
    artifact_bytes: int = 0

    @property
    def live(self) -> int:
        """Jobs that have not ended."""
        return self.queued + self.initializing + self.running

    @property
    def stored_bytes(self) -> int:
        """Everything that counts towards the quota. A log counts from its job's end on."""
        return self.package_bytes + self.log_bytes + self.artifact_bytes


class TenantUsages(Protocol):
    """Usage, counted as it changes: it costs O(tenants + live jobs), however many jobs are kept."""

    async def usage(self, tenant: str | None = None) -> list[TenantUsage]:
        """Of one tenant, also one that nothing is known of, or of all that have anything, by
        name.
        """
