"""The rows as retention sees them (port JobRetention): oldest first, deletions fenced."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

import aiosqlite
from typing_extensions import override

from ci_common.job import Door, format_time
from ci_common.ports.retention import (
    FileDeletion,
    FinishedJob,
    FinishedTotals,
    JobRetention,
    KeptPackage,
)
from ci_persistence.database.database import Database
from ci_persistence.sqlite.events import LATEST
from ci_persistence.sqlite.job_rows import LIVE
from ci_persistence.sqlite.lease import HOLDS_LEASE

OLDEST = (
    "SELECT job_id, ended_at, coalesce(log_stored, log_size, 0) + artifacts_size AS stored_bytes "
    "FROM jobs WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT ?"
)
OLDEST_OF_DOOR = (
    "SELECT job_id FROM jobs WHERE door = ? AND door != 'native' AND ended_at < ? "
    "ORDER BY ended_at LIMIT ?"
)
UNCOMPRESSED = (
    "SELECT job_id, log_size FROM jobs WHERE ended_at IS NOT NULL AND log_stored IS NULL "
    "AND ended_at <= ? ORDER BY ended_at LIMIT 1"
)
WITH_ARTIFACTS = (
    "SELECT job_id FROM jobs WHERE artifacts_size > 0 AND ended_at <= ? ORDER BY ended_at LIMIT ?"
)

WITHOUT_ARTIFACTS = (
    "SELECT value AS job_id FROM json_each(?) "  # noqa: S608 - constants
    f"WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE job_id = value AND status IN {LIVE}) "
    "AND NOT EXISTS (SELECT 1 FROM artifacts WHERE job_id = value)"
)

OLDEST_PACKAGES = (
    "SELECT job_id, ended_at, coalesce(package_size, 0) AS size FROM jobs WHERE package_kept = 1 "
    "ORDER BY ended_at LIMIT ?"
)
WITHOUT_PACKAGE = (
    "SELECT value AS job_id FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM jobs "  # noqa: S608
    f"WHERE job_id = value AND (status IN {LIVE} OR package_kept = 1))"
)

DELETIONS = (
    "SELECT seq FROM job_events WHERE kind = 'deleted' AND (at < ? OR seq <= "
    "(SELECT seq FROM job_events WHERE kind = 'deleted' ORDER BY seq DESC LIMIT 1 OFFSET ?)) "
    "ORDER BY seq LIMIT ?"
)


class SqliteJobRetention(JobRetention):
    """Deletes for the process that holds the lease as `holder`."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    @override
    async def totals(self) -> FinishedTotals:
        row = await self._database.fetch_one("SELECT jobs, stored_bytes FROM finished_totals")
        return FinishedTotals(row["jobs"], row["stored_bytes"]) if row else FinishedTotals(0, 0)

    @override
    async def oldest(self, limit: int) -> list[FinishedJob]:
        rows = await self._database.fetch_all(OLDEST, (limit,))
        return [
            FinishedJob(row["job_id"], datetime.fromisoformat(row["ended_at"]), row["stored_bytes"])
            for row in rows
        ]

    @override
    async def expired_of_door(self, door: Door, ended_before: datetime, limit: int) -> list[str]:
        rows = await self._database.fetch_all(
            OLDEST_OF_DOOR, (door.value, format_time(ended_before), limit)
        )
        return [row["job_id"] for row in rows]

    @override
    async def delete_jobs(self, job_ids: Sequence[str]) -> int:
        marks = ", ".join("?" * len(job_ids))
        async with self._database.transaction() as connection:
            deleted = await connection.execute_fetchall(
                f"DELETE FROM jobs WHERE job_id IN ({marks}) "  # noqa: S608 - constants
                f"AND ended_at IS NOT NULL AND {HOLDS_LEASE} RETURNING job_id",
                (*job_ids, self._holder),
            )
            return await _note_files(connection, deleted, artifacts_only=False)

    @override
    async def expire_artifacts(self, ended_before: datetime, limit: int) -> int:
        async with self._database.transaction() as connection:
            expired = await connection.execute_fetchall(
                f"UPDATE jobs SET artifacts_size = 0 WHERE job_id IN ({WITH_ARTIFACTS}) "  # noqa: S608
                f"AND {HOLDS_LEASE} RETURNING job_id",
                (format_time(ended_before), limit, self._holder),
            )
            await connection.executemany(
                "DELETE FROM artifacts WHERE job_id = ?", [(row["job_id"],) for row in expired]
            )
            return await _note_files(connection, expired, artifacts_only=True)

    @override
    async def file_deletions(self, limit: int) -> list[FileDeletion]:
        rows = await self._database.fetch_all(
            "SELECT job_id, artifacts_only FROM file_deletions LIMIT ?", (limit,)
        )
        return [FileDeletion(row["job_id"], bool(row["artifacts_only"])) for row in rows]

    @override
    async def files_deleted(self, deletions: Sequence[FileDeletion]) -> None:
        async with self._database.transaction() as connection:
            # A job may have been deleted while only its artifacts were: then more is to do.
            await connection.executemany(
                "DELETE FROM file_deletions WHERE job_id = ? AND artifacts_only = ? "  # noqa: S608
                f"AND {HOLDS_LEASE}",
                [(one.job_id, one.artifacts_only, self._holder) for one in deletions],
            )

    @override
    async def without_artifacts(self, job_ids: Sequence[str]) -> list[str]:
        rows = await self._database.fetch_all(WITHOUT_ARTIFACTS, (json.dumps(list(job_ids)),))
        return [row["job_id"] for row in rows]

    @override
    async def oldest_packages(self, limit: int) -> list[KeptPackage]:
        rows = await self._database.fetch_all(OLDEST_PACKAGES, (limit,))
        return [
            KeptPackage(row["job_id"], datetime.fromisoformat(row["ended_at"]), row["size"])
            for row in rows
        ]

    @override
    async def kept_package_bytes(self) -> int:
        row = await self._database.fetch_one("SELECT sum(kept_package_bytes) FROM tenant_totals")
        return int(row[0] or 0) if row else 0

    @override
    async def drop_packages(self, job_ids: Sequence[str]) -> int:
        marks = ", ".join("?" * len(job_ids))
        dropped = await self._database.write(
            f"UPDATE jobs SET package_kept = 0 WHERE job_id IN ({marks}) "  # noqa: S608 - constants
            f"AND package_kept = 1 AND {HOLDS_LEASE} RETURNING job_id",
            (*job_ids, self._holder),
        )
        return len(dropped)

    @override
    async def package_deletions(self, limit: int) -> list[str]:
        rows = await self._database.fetch_all(
            "SELECT job_id FROM package_deletions LIMIT ?", (limit,)
        )
        return [row["job_id"] for row in rows]

    @override
    async def packages_deleted(self, job_ids: Sequence[str]) -> None:
        async with self._database.transaction() as connection:
            await connection.executemany(
                f"DELETE FROM package_deletions WHERE job_id = ? AND {HOLDS_LEASE}",  # noqa: S608
                [(job_id, self._holder) for job_id in job_ids],
            )

    @override
    async def without_package(self, job_ids: Sequence[str]) -> list[str]:
        rows = await self._database.fetch_all(WITHOUT_PACKAGE, (json.dumps(list(job_ids)),))
        return [row["job_id"] for row in rows]

    @override
    async def uncompressed(self, ended_before: datetime) -> tuple[str, int] | None:
        row = await self._database.fetch_one(UNCOMPRESSED, (format_time(ended_before),))
        return (row["job_id"], row["log_size"] or 0) if row else None

    @override
    async def log_compressed(self, job_id: str, stored_bytes: int) -> bool:
        rows = await self._database.write(
            "UPDATE jobs SET log_stored = ? WHERE job_id = ? AND ended_at IS NOT NULL "  # noqa: S608
            f"AND {HOLDS_LEASE} RETURNING job_id",
            (stored_bytes, job_id, self._holder),
        )
        return bool(rows)

    @override
    async def forget_deletions(self, before: datetime, keep: int, limit: int) -> int:
        wanted = (format_time(before), keep, limit)
        if not await self._database.fetch_all(DELETIONS, wanted):
            return 0  # the usual case needs no write lock
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                f"DELETE FROM job_events WHERE seq IN ({DELETIONS}) "  # noqa: S608 - constants
                f"AND {HOLDS_LEASE} RETURNING seq",
                (*wanted, self._holder),
            )
            forgotten = [row["seq"] for row in rows]
            if forgotten:
                # Removing takes a number of its own: readers that were told before are told again.
                await connection.execute(
                    "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'job_events'"
                )
                await connection.execute(
                    f"UPDATE event_stream SET gone_seq = max(gone_seq, ?), gone_at = {LATEST}",  # noqa: S608
                    (max(forgotten),),
                )
        return len(forgotten)


async def _note_files(
    connection: aiosqlite.Connection, rows: Iterable[sqlite3.Row], *, artifacts_only: bool
) -> int:
    noted = [(row["job_id"], artifacts_only) for row in rows]
    await connection.executemany(
        "INSERT INTO file_deletions (job_id, artifacts_only) VALUES (?, ?) "
        "ON CONFLICT (job_id) DO UPDATE "
        "SET artifacts_only = min(artifacts_only, excluded.artifacts_only)",
        noted,
    )
    return len(noted)
