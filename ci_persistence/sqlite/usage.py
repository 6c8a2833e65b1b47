"""What tenants have and keep (port TenantUsages), and whether there is room for more."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable

import aiosqlite
from typing_extensions import override

from ci_common.errors import QuotaExceededError, TooManyJobsError
from ci_common.ports.usage import Quotas, TenantUsage, TenantUsages
from ci_persistence.database.database import Database
from ci_persistence.sqlite.job_rows import LIVE

Fetch = Callable[[str, tuple[str, ...]], Awaitable[Iterable[sqlite3.Row]]]

LIVE_OF_TENANT = f"SELECT count(*) FROM jobs WHERE tenant = ? AND status IN {LIVE}"  # noqa: S608
LIVE_OF_USER = f"{LIVE_OF_TENANT} AND user = ?"
STORED = (
    "SELECT package_bytes + log_bytes + artifact_bytes - kept_package_bytes FROM tenant_totals "
    "WHERE tenant = ?"
)
"""Without the packages that are kept: those make room for whatever comes."""

_EXCESS = (
    "SELECT kept_package_bytes, package_bytes + log_bytes + artifact_bytes "
    "- ? + max(?, 1) AS excess FROM tenant_totals WHERE tenant = ?"
)
DROPPED_FOR_ROOM = (
    "UPDATE jobs SET package_kept = 0 WHERE job_id IN (SELECT job_id FROM ("
    "SELECT job_id, sum(package_size) OVER (ORDER BY ended_at, seq) - package_size AS before "
    "FROM jobs WHERE tenant = ? AND package_kept = 1) WHERE before < ?)"
)
"""Those of the jobs that ended first, as many as it takes."""

COUNTED = (
    "SELECT tenant, sum(ended_at IS NOT NULL), "
    "sum((ended_at IS NULL OR package_kept) * coalesce(package_size, 0)), "
    "sum((ended_at IS NOT NULL) * coalesce(log_stored, log_size, 0)), sum(artifacts_size), "
    "sum(package_kept * coalesce(package_size, 0)) "
    "FROM jobs GROUP BY tenant"
)
"""What `tenant_totals` holds, the slow way; there it may have rows of nothing, too."""

USAGES = (
    "SELECT tenant, finished_jobs AS finished, package_bytes, log_bytes, "  # noqa: S608 - constants
    "artifact_bytes, "
    "count(status) FILTER (WHERE status = 'queued') AS queued, "
    "count(status) FILTER (WHERE status = 'initializing') AS initializing, "
    "count(status) FILTER (WHERE status = 'running') AS running "
    "FROM tenant_totals LEFT JOIN "
    f"(SELECT tenant AS owner, status FROM jobs WHERE status IN {LIVE}) "
    "ON owner = tenant"
)


class SqliteTenantUsages(TenantUsages):
    """Reads what the triggers keep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def usage(self, tenant: str | None = None) -> list[TenantUsage]:
        if tenant is None:
            rows = await self._database.fetch_all(f"{USAGES} GROUP BY tenant ORDER BY tenant")
        else:
            rows = await self._database.fetch_all(
                f"{USAGES} WHERE tenant = ? GROUP BY tenant", (tenant,)
            )
        found = [TenantUsage(**{name: row[name] for name in row.keys()}) for row in rows]  # noqa: SIM118
        if tenant is not None:
            return found or [TenantUsage(tenant)]
        return [usage for usage in found if usage != TenantUsage(usage.tenant)]


async def check_room(
    fetch: Fetch, tenant: str, user: str, quotas: Quotas, package_size: int = 0
) -> None:
    """Raise TooManyJobsError or QuotaExceededError unless one more job fits."""
    if (most := quotas.live_jobs_per_user) is not None:
        live = await _number(fetch, LIVE_OF_USER, (tenant, user))
        _check_jobs(live, most, f"you ({user!r}) have", "CI_MAX_LIVE_JOBS_PER_USER")
    if (most := quotas.live_jobs_per_tenant) is not None:
        live = await _number(fetch, LIVE_OF_TENANT, (tenant,))
        _check_jobs(live, most, f"the tenant {tenant!r} has", "CI_MAX_LIVE_JOBS_PER_TENANT")
    if (most := quotas.stored_bytes_per_tenant) is not None:
        stored = await _number(fetch, STORED, (tenant,))
        if stored + package_size > most or stored >= most:
            raise QuotaExceededError(_too_much(tenant, stored, package_size, most))


async def make_room(
    connection: aiosqlite.Connection, tenant: str, quotas: Quotas, package_size: int
) -> None:
    """Drop as many of the tenant's kept packages as one more job needs, the oldest first; none
    when that would not be enough. In one transaction with `check_room` and the job's row.
    """
    if (most := quotas.stored_bytes_per_tenant) is None:
        return
    rows = await connection.execute_fetchall(_EXCESS, (most, package_size, tenant))
    for kept, excess in rows:
        if 0 < excess <= kept:
            await connection.execute(DROPPED_FOR_ROOM, (tenant, excess))


async def _number(fetch: Fetch, sql: str, parameters: tuple[str, ...]) -> int:
    return next((int(row[0]) for row in await fetch(sql, parameters)), 0)


def _check_jobs(live: int, most: int, who_has: str, setting: str) -> None:
    if live >= most:
        raise TooManyJobsError(
            f"{who_has} {live} queued and running jobs, and {most} are allowed ({setting}); submit "
            "again when some have ended, or cancel some"
        )


def _too_much(tenant: str, stored: int, package_size: int, most: int) -> str:
    more = f", and this upload has {package_size / (1 << 20):.1f} MiB" if package_size else ""
    return (
        f"the tenant {tenant!r} stores {stored / (1 << 20):.1f} MiB of packages, logs and "
        f"artifacts{more}; {most / (1 << 20):.0f} MiB are allowed (CI_MAX_STORED_MB_PER_TENANT). "
        "Keep fewer artifacts, wait until old jobs are deleted, or ask an administrator for more"
    )
