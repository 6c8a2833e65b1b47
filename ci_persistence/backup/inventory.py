"""What is stored, job by job: the row, and the files that should or should not be there."""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO

from ci_common.errors import ArtifactNotFoundError, LogCorruptError
from ci_common.job import Artifact, JobStatus, parse_time
from ci_persistence.backup.backup import BackupStores
from ci_persistence.database.database import Database

_BATCH = 500
_PIECE = 1 << 20

_COLUMNS = (
    "seq, job_id, status, started_at, ended_at, coalesce(log_size, 0), package_sha256, "
    "coalesce(json_array_length(spec, '$.secrets'), 0), package_kept"
)


@dataclass(frozen=True, slots=True)
class JobRow:
    """What of a row the files are compared with."""

    job_id: str
    status: JobStatus
    started_at: datetime | None
    ended_at: datetime | None
    log_size: int
    package_sha256: str | None
    """`None` for a job that has no package."""
    has_secrets: bool = False
    keeps_package: bool = False
    """Whether its package is to be there although it has ended."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is stored; `row` is `None` when only files are left of it."""

    job_id: str
    row: JobRow | None
    package: bool = False
    package_damage: str = ""
    secrets: bool = False
    """Whether there is a file of its secrets."""
    log: bool = False
    """Whether there is anything of a log, an empty one included; looked at without a row only."""
    log_size: int = 0
    log_damage: str = ""
    artifacts: bool = False
    """Whether there are any files of artifacts."""
    recorded_artifacts: int = 0
    artifact_damage: tuple[str, ...] = ()
    to_be_deleted: bool = False
    """Whether retention has noted files of it for deletion; told by `Inventory.job` only."""
    package_to_be_deleted: bool = False
    """The same of its package."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The jobs that have files, as they were listed."""

    packages: frozenset[str]
    logs: frozenset[str]
    artifacts: frozenset[str]
    secrets: frozenset[str]

    @property
    def job_ids(self) -> frozenset[str]:
        """All of them."""
        return self.packages | self.logs | self.artifacts | self.secrets


class Inventory:
    """Looks into the stores of one instance. Nothing is changed."""

    def __init__(self, database: Database, stores: BackupStores, *, deep: bool) -> None:
        """`deep` reads all contents and compares checksums."""
        self._database = database
        self._stores = stores
        self._deep = deep

    def files(self, older_than_seconds: float) -> StoredFiles:
        """The jobs with files. Packages and secrets are there before their row: hence the age."""
        return StoredFiles(
            packages=frozenset(self._stores.packages.job_ids(older_than_seconds)),
            logs=frozenset(self._stores.logs.job_ids()),
            artifacts=frozenset(self._stores.artifacts.job_ids(older_than_seconds)),
            secrets=frozenset(self._stores.secrets.job_ids(older_than_seconds)),
        )

    async def jobs(self) -> AsyncIterator[StoredJob]:
        """All jobs with rows. Those that come or go meanwhile may be missing."""
        last = 0
        while rows := await self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM jobs WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (last, _BATCH),
        ):
            span = "job_id IN (SELECT job_id FROM jobs WHERE seq > ? AND seq <= ?)"
            recorded = await self._recorded(span, last, last := rows[-1][0])
            for row in map(_row, rows):
                yield self._look(row.job_id, row, recorded[row.job_id])

    async def job(self, job_id: str) -> StoredJob:
        """One job as it is stored at this moment."""
        statement = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?"  # noqa: S608
        found = await self._database.fetch_one(statement, (job_id,))
        recorded = await self._recorded("job_id = ?", job_id)
        pending = await self._database.fetch_one(
            "SELECT 1 FROM file_deletions WHERE job_id = ?", (job_id,)
        )
        dropped = await self._database.fetch_one(
            "SELECT 1 FROM package_deletions WHERE job_id = ?", (job_id,)
        )
        row = None if found is None else _row(found)
        stored = self._look(job_id, row, recorded[job_id])
        return replace(
            stored, to_be_deleted=pending is not None, package_to_be_deleted=dropped is not None
        )

    async def _recorded(
        self, condition: str, *parameters: str | int
    ) -> defaultdict[str, list[Artifact]]:
        rows = await self._database.fetch_all(
            f"SELECT job_id, path, size, sha256 FROM artifacts WHERE {condition}",  # noqa: S608
            parameters,
        )
        found: defaultdict[str, list[Artifact]] = defaultdict(list)
        for row in rows:
            found[row["job_id"]].append(Artifact(row["path"], row["size"], row["sha256"]))
        return found

    def _look(self, job_id: str, row: JobRow | None, recorded: list[Artifact]) -> StoredJob:
        package, package_damage = self._package(job_id, row)
        log_size, log_damage = self._log(job_id)
        return StoredJob(
            job_id=job_id,
            row=row,
            package=package,
            package_damage=package_damage,
            secrets=self._stores.secrets.has(job_id),
            log=row is None and self._stores.logs.has(job_id),
            log_size=log_size,
            log_damage=log_damage,
            artifacts=self._stores.artifacts.has(job_id),
            recorded_artifacts=len(recorded),
            artifact_damage=tuple(self._artifact_damage(job_id, recorded)),
        )

    def _package(self, job_id: str, row: JobRow | None) -> tuple[bool, str]:
        content = self._stores.packages.open(job_id)
        if content is None:
            return False, ""
        with content:
            is_needed = row is not None and (row.ended_at is None or row.keeps_package)
            needed = row if is_needed else None
            if self._deep and needed and _sha256(content) != needed.package_sha256:
                return True, "its SHA-256 is not the upload's"
        return True, ""

    def _log(self, job_id: str) -> tuple[int, str]:
        logs = self._stores.logs
        try:
            size = logs.size(job_id)
            offset = 0
            while self._deep and offset < size:
                piece = logs.read(job_id, offset, _PIECE)
                if not piece:
                    return offset, ""
                offset += len(piece)
        except LogCorruptError as error:
            return 0, error.message
        return size, ""

    def _artifact_damage(self, job_id: str, recorded: list[Artifact]) -> Iterator[str]:
        for artifact in recorded:
            try:
                with self._stores.artifacts.open(job_id, artifact) as content:
                    size = content.seek(0, 2)
                    content.seek(0)
                    digest = _sha256(content) if self._deep else None
            except ArtifactNotFoundError:
                yield f"{artifact.path!r} is missing"
                continue
            if size != artifact.size:
                yield f"{artifact.path!r} has {size} bytes, not {artifact.size}"
            elif digest not in (None, artifact.sha256):
                yield f"{artifact.path!r} is another content (SHA-256)"


def _sha256(content: BinaryIO) -> str:
    return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]


def _row(row: Any) -> JobRow:
    _, job_id, status, started_at, ended_at, log_size, package_sha256, secrets, kept = row
    return JobRow(
        job_id=job_id,
        status=JobStatus(status),
        started_at=parse_time(started_at),
        ended_at=parse_time(ended_at),
        log_size=log_size,
        package_sha256=package_sha256,
        has_secrets=bool(secrets),
        keeps_package=bool(kept),
    )
