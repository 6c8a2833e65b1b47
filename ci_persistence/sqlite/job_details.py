"""What is kept of jobs beside their rows (ports JobDetails and ResourceStore): one compressed JSON
document of each kind, which goes with the row.
"""

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import aiosqlite
from typing_extensions import override

from ci_common.coverage_files import CoverageFiles, FileCoverage
from ci_common.ports.details import JobDetails, ResourceStore
from ci_common.ports.rows import Ending
from ci_common.resources import ResourceSample, ResourceSeries
from ci_persistence.database.database import Database
from ci_persistence.sqlite.lease import HOLDS_LEASE

_RESOURCES, _COVERAGE = "resources", "coverage"

_READ = "SELECT content FROM job_details WHERE job_id = ? AND kind = ?"
_READ_SEVERAL = (
    "SELECT job_id, content FROM job_details "
    "WHERE job_id IN (SELECT value FROM json_each(?)) AND kind = ?"
)
_WRITE = (
    "INSERT INTO job_details (job_id, kind, content) VALUES (?, ?, ?) "
    "ON CONFLICT (job_id, kind) DO UPDATE SET content = excluded.content"
)
_SAVE = (
    "INSERT INTO job_details (job_id, kind, content) "  # noqa: S608 - constants
    "SELECT job_id, ?, ? FROM jobs WHERE job_id = ? AND attempt = ? AND ended_at IS NULL "
    f"AND {HOLDS_LEASE} ON CONFLICT (job_id, kind) DO UPDATE SET content = excluded.content"
)


class SqliteJobDetails(JobDetails):
    """Reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def resources(self, job_id: str) -> ResourceSeries | None:
        return await _resources(self._database, job_id)

    @override
    async def resources_of(self, job_ids: Sequence[str]) -> dict[str, ResourceSeries]:
        parameters = (json.dumps(list(job_ids)), _RESOURCES)
        rows = await self._database.fetch_all(_READ_SEVERAL, parameters)
        # In a thread: those of a thousand jobs take long to parse.
        return await asyncio.to_thread(
            lambda: {row["job_id"]: _series(_unpacked(row["content"])) for row in rows}
        )

    @override
    async def coverage_files(self, job_id: str) -> CoverageFiles | None:
        found = await _read(self._database, job_id, _COVERAGE)
        if found is None:
            return None
        files = tuple(FileCoverage(*fields) for fields in found["files"])
        return CoverageFiles(files, found["total"])


class SqliteResourceStore(ResourceStore):
    """Keeps the samples of running jobs, for the process that holds the lease as `holder`."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    @override
    async def load(self, job_id: str) -> ResourceSeries | None:
        return await _resources(self._database, job_id)

    @override
    async def save(self, series: Mapping[str, ResourceSeries]) -> None:
        async with self._database.transaction() as connection:
            await connection.executemany(
                _SAVE,
                [
                    (_RESOURCES, _packed(_of_series(one)), job_id, one.attempt, self._holder)
                    for job_id, one in series.items()
                ],
            )


async def add_details(connection: aiosqlite.Connection, job_id: str, ending: Ending) -> None:
    """Within the transaction that records a job's end."""
    if ending.resources is not None:
        content = _packed(_of_series(ending.resources))
        await connection.execute(_WRITE, (job_id, _RESOURCES, content))
    if ending.coverage_files is not None:
        files = [astuple(one) for one in ending.coverage_files.files]
        content = _packed({"total": ending.coverage_files.total, "files": files})
        await connection.execute(_WRITE, (job_id, _COVERAGE, content))


async def _resources(database: Database, job_id: str) -> ResourceSeries | None:
    found = await _read(database, job_id, _RESOURCES)
    return None if found is None else _series(found)


def _series(found: dict[str, Any]) -> ResourceSeries:
    samples = zip(found["seconds"], found["cpu"], found["memory"], strict=True)
    return ResourceSeries(
        found["attempt"],
        found["interval"],
        tuple(ResourceSample(*sample) for sample in samples),
    )


def _of_series(series: ResourceSeries) -> dict[str, Any]:
    """By column, which compresses better."""
    return {
        "attempt": series.attempt,
        "interval": series.interval_seconds,
        "seconds": [sample.seconds for sample in series.samples],
        "cpu": [sample.cpu_seconds for sample in series.samples],
        "memory": [sample.memory_bytes for sample in series.samples],
    }


async def _read(database: Database, job_id: str, kind: str) -> dict[str, Any] | None:
    for row in await database.fetch_all(_READ, (job_id, kind)):
        return _unpacked(row["content"])
    return None


def _unpacked(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(content))
    return found


def _packed(document: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode())
