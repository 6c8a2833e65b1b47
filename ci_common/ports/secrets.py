"""The secrets of jobs and of tenants, split by who uses them.

Values are encrypted wherever they are stored. No method's error repeats a value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ci_common.job import Job
from ci_common.ports.audit import AuditEntry
from ci_common.secret import Secret


class TenantSecrets(Protocol):
    """The server's side of what tenants keep here."""

    async def named(self, tenant: str, names: Iterable[str]) -> list[Secret]:
        """These secrets of the tenant, in this order.

        Raises UnknownSecretError, which names all that are missing, or SecretKeyError when one
        cannot be decrypted.
        """


class SecretIntake(Protocol):
    """The server's side of what jobs are given. Slow: call it on another thread."""

    def store(self, job_id: str, secrets: Sequence[Secret]) -> None:
        """Keep a job's secrets, all of them at once, before its row is added; they survive a
        power cut once this returns. Raises DiskFullError, SecretKeyError.
        """

    def forget(self, job_id: str) -> None:
        """Remove them; safe to repeat, and without any."""


class JobSecrets(Protocol):
    """The controller's side of what jobs are given. Slow: call it on another thread."""

    def of(self, job: Job) -> list[Secret]:
        """The job's secrets, until `forget`; for every attempt and adoption the same ones.

        Raises SecretsUnavailableError unless all that the row names are there.
        """

    def forget(self, job_id: str) -> None:
        """Remove them; safe to repeat, and without any."""

    def job_ids(self, older_than_seconds: float) -> list[str]:
        """The jobs that have had secrets here for so long."""


@dataclass(frozen=True, slots=True)
class TenantSecretEntry:
    """What may be told of a tenant's secret."""

    tenant: str
    name: str
    changed_at: datetime


class TenantSecretKeeper(Protocol):
    """The operator's side of what tenants keep here. A change is written together with the entry
    of the audit log that tells of it.
    """

    async def put(
        self, tenant: str, secret: Secret, now: datetime, audit: AuditEntry | None = None
    ) -> bool:
        """Add a secret, or replace its value; True when it is new. Jobs that were submitted
        before keep the old value. Raises InvalidSecretError, SecretKeyError.
        """

    async def entries(self, tenant: str | None) -> list[TenantSecretEntry]:
        """The tenant's secrets, or all tenants', by tenant and name."""

    async def delete(self, tenant: str, name: str, audit: AuditEntry | None = None) -> bool:
        """Remove a secret; False when there was none."""
