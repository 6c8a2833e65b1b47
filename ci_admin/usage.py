"""`ci-admin usage`: jobs and storage of each tenant."""

import json
from collections.abc import Iterable
from typing import Any

from ci_admin.instance import opened
from ci_common.ports.usage import TenantUsage
from ci_common.settings import Settings
from ci_persistence.sqlite.usage import SqliteTenantUsages

_HEADINGS = (
    *("TENANT", "QUEUED", "INITIALIZING", "RUNNING", "FINISHED"),
    *("PACKAGES MiB", "LOGS MiB", "ARTIFACTS MiB", "TOTAL MiB"),
)


async def usages_of(settings: Settings) -> list[TenantUsage]:
    """All tenants that have anything. Raises DatabaseError."""
    async with opened(settings, keep_alone=False) as instance:
        return await SqliteTenantUsages(instance.database).usage()


def to_json(usages: Iterable[TenantUsage]) -> str:
    """For programs."""
    return json.dumps([_fields(usage) for usage in usages], indent=2)


def _fields(usage: TenantUsage) -> dict[str, Any]:
    """The same names as in the answer of `GET /usage`."""
    return {
        "tenant": usage.tenant,
        "jobs": {
            "queued": usage.queued,
            "initializing": usage.initializing,
            "running": usage.running,
            "finished": usage.finished,
        },
        "bytes": {
            "packages": usage.package_bytes,
            "logs": usage.log_bytes,
            "artifacts": usage.artifact_bytes,
            "total": usage.stored_bytes,
        },
    }


def to_lines(usages: Iterable[TenantUsage]) -> list[str]:
    """For people."""
    rows = [_HEADINGS, *map(_cells, usages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]


def _cells(usage: TenantUsage) -> tuple[str, ...]:
    jobs = (usage.queued, usage.initializing, usage.running, usage.finished)
    sizes = (usage.package_bytes, usage.log_bytes, usage.artifact_bytes, usage.stored_bytes)
    name = "".join(c if c.isprintable() else "?" for c in usage.tenant)
    return (name, *map(str, jobs), *(f"{size / (1 << 20):.1f}" for size in sizes))
