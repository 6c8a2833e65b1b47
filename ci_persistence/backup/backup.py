"""A backup of a running server: its rows, and the files that they speak of.

Rows are copied from one snapshot. Files are immutable, or only grow, but they go away: a package
when its job ends or when it has been kept long enough, the rest when retention deletes the job. So
packages are taken before the rows as well as after them, and a job that is no longer there when its
files are read is left out of the copy. What is missing although its row is still there was missing
before; it is told.
"""

import contextlib
import fcntl
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO

from ci_common.errors import ArtifactNotFoundError, BackupError, LogCorruptError
from ci_common.job import Artifact, format_time, utc_now
from ci_persistence.backup.archive import (
    DATABASE,
    ArchiveReader,
    ArchiveWriter,
    Header,
    copy,
    member_name,
)
from ci_persistence.backup.stored_packages import keeps_package, kept_packages, live_jobs
from ci_persistence.database.errors import damaged, explain, is_disk_full
from ci_persistence.database.integrity import find_damage
from ci_persistence.database.location import check_restored, make_private
from ci_persistence.database.migrations import MIGRATIONS
from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.database.write_lock import read_only
from ci_persistence.files.artifacts import FileArtifactStore
from ci_persistence.files.durable import sync_directory
from ci_persistence.files.job_secrets import SecretFiles
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.sqlite.job_rows import LIVE

_PIECE = 1 << 20
_SPOOL_BYTES = 8 << 20
_PAGES = 4096
_BATCH = 500

_SNAPSHOTS = 20
"""A job that was submitted and ended around a snapshot asks for another one."""


@dataclass(frozen=True, slots=True)
class BackupStores:
    """Where the files are."""

    packages: FilePackageStore
    logs: FileLogStore
    artifacts: FileArtifactStore
    secrets: SecretFiles
    """In no backup."""


@dataclass(slots=True)
class BackupSummary:
    """What went into a backup."""

    live_jobs: int = 0
    finished_jobs: int = 0
    size: int = 0
    """Bytes of the backup."""
    warnings: list[str] = field(default_factory=list)
    """What was missing or damaged in the source, and therefore is in the backup."""


class Backup:
    """One backup of `database` into `target`, which appears when it is complete and checked."""

    def __init__(self, database: Path, stores: BackupStores, target: Path) -> None:
        self._database = database
        self._stores = stores
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._rows_path = target.with_name(f"{target.name}.rows.part")
        self._taken: set[str] = set()
        """Jobs whose packages are in the archive."""
        self._summary = BackupSummary()

    def make(self, *, replace: bool = False) -> BackupSummary:
        """Write it. Raises BackupError, or DatabaseError; then nothing is left behind."""
        if self._target.exists() and not replace:
            raise BackupError(f"{self._target} exists; name another file, or use --force")
        if not self._database.exists():
            raise BackupError(f"there is no database {self._database} (CI_DB_PATH)")
        try:
            with self._shared_database(), self._locked_part() as file:
                self._write(file)
                ArchiveReader(self._part).verify()
                self._summary.size = self._part.stat().st_size
                self._remove_rows()  # after the rename they may belong to another backup
                self._part.rename(self._target)
                sync_directory(self._target.resolve().parent)
        except sqlite3.Error as error:
            if is_disk_full(error):  # only the copy is written
                raise self._unwritable("No space left for the copy of the rows") from error
            raise explain(self._database, error) from error
        except OSError as error:
            raise self._unwritable(str(error)) from error
        return self._summary

    def _unwritable(self, why: str) -> BackupError:
        return BackupError(
            f"the backup {self._target} could not be written: {why}; the directory must exist, be "
            "writable, and have room for the backup"
        )

    @contextlib.contextmanager
    def _shared_database(self) -> Iterator[None]:
        lock = DatabaseLock(self._database)
        if not lock.try_share():
            raise BackupError(f"{self._database} is being restored or repaired; try again later")
        try:
            check_restored(self._database)
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _locked_part(self) -> Iterator[BinaryIO]:
        # In a directory where others may write, too, the name may be theirs already.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(self._part, flags, 0o600), "wb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                raise BackupError(f"{self._part} is another user's file; remove it")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._busy() from None
            if not _is_at(file, self._part):
                raise self._busy()  # it has just ended: this file is its finished backup
            file.truncate()  # what a backup that was killed left
            try:
                yield file
            finally:
                if _is_at(file, self._part):  # not renamed, so this backup has failed
                    self._remove_rows()
                    self._part.unlink(missing_ok=True)

    def _remove_rows(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm", "-queue-lock", "-write-lock"):
            Path(f"{self._rows_path}{suffix}").unlink(missing_ok=True)

    def _busy(self) -> BackupError:
        return BackupError(f"another backup to {self._target} is in progress")

    def _write(self, file: BinaryIO) -> None:
        with ExitStack() as stack:
            source = stack.enter_context(read_only(self._database))
            writer = ArchiveWriter(file, self._target.name, self._header(source))
            stack.callback(writer.close)
            for job_id in self._stores.packages.job_ids(0):
                self._add_package(writer, job_id)
            rows = stack.enter_context(closing(self._snapshot(source, writer)))
            self._add_files(source, rows, writer)
            rows.close()
            if problems := find_damage(self._rows_path, thorough=True):
                raise damaged(self._database, problems)
            with self._rows_path.open("rb") as content:
                writer.add(DATABASE, content, self._rows_path.stat().st_size)
            writer.finish()
        file.flush()
        os.fsync(file.fileno())

    def _header(self, source: sqlite3.Connection) -> Header:
        schema = int(source.execute("PRAGMA user_version").fetchone()[0])
        if not 0 < schema <= len(MIGRATIONS):
            raise BackupError(
                f"{self._database} has schema {schema}, this program knows 1 to "
                f"{len(MIGRATIONS)}: use the ci-admin of the version that wrote it"
            )
        return Header(
            created_at=format_time(utc_now()) or "",
            instance_id=str(source.execute("SELECT instance_id FROM instance").fetchone()[0]),
            schema=schema,
            host=socket.gethostname(),
            database=str(self._database.resolve()),
        )

    # ------------------------------------------------------------------ rows

    def _snapshot(self, source: sqlite3.Connection, writer: ArchiveWriter) -> sqlite3.Connection:
        """A copy of the rows, all of whose live jobs have their packages in the archive."""
        for _ in range(_SNAPSHOTS):
            rows = self._copy_rows(source)
            live = live_jobs(rows)
            missing = [
                job_id
                for job_id, has_package in live.items()
                if has_package and not self._add_package(writer, job_id)
            ]
            damaged = [job_id for job_id in missing if _is_live(source, job_id)]
            if missing == damaged:
                self._summary.live_jobs = len(live)
                self._summary.warnings += [f"job {job_id} has no package" for job_id in damaged]
                return rows
            rows.close()
        raise BackupError("jobs end faster than their rows can be copied; try again")

    def _copy_rows(self, source: sqlite3.Connection) -> sqlite3.Connection:
        self._rows_path.unlink(missing_ok=True)
        make_private(self._rows_path)
        rows = sqlite3.connect(self._rows_path, isolation_level=None)
        try:
            # A snapshot that is held: otherwise every write would begin the copy anew.
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM jobs LIMIT 1").fetchall()
            source.backup(rows, pages=_PAGES)
            source.execute("ROLLBACK")
            rows.execute("PRAGMA journal_mode=DELETE")
            rows.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            rows.close()
            raise
        return rows

    # ------------------------------------------------------------------ files

    def _add_package(self, writer: ArchiveWriter, job_id: str) -> bool:
        if job_id in self._taken:
            return True
        content = self._stores.packages.open(job_id)
        if content is None:
            return False
        with content:
            size = os.fstat(content.fileno()).st_size
            writer.add(member_name("packages", job_id), content, size)
        self._taken.add(job_id)
        return True

    def _add_files(
        self, source: sqlite3.Connection, rows: sqlite3.Connection, writer: ArchiveWriter
    ) -> None:
        self._add_kept_packages(source, rows, writer)
        for job_id, ended, log_size in _jobs(rows):
            problems = self._add_log(writer, job_id, log_size if ended else None)
            gone = []
            for sha256, path in _artifacts(rows, job_id):
                if problem := self._add_artifact(writer, job_id, Artifact(path, 0, sha256)):
                    gone.append(problem)
            if (problems or gone) and not _exists(source, job_id):
                rows.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
                continue
            if gone and not _artifacts(source, job_id):  # retention took them, and kept the job
                gone = []
                rows.execute("DELETE FROM artifacts WHERE job_id = ?", (job_id,))
                rows.execute("UPDATE jobs SET artifacts_size = 0 WHERE job_id = ?", (job_id,))
            self._summary.finished_jobs += ended
            self._summary.warnings += problems + gone

    def _add_kept_packages(
        self, source: sqlite3.Connection, rows: sqlite3.Connection, writer: ArchiveWriter
    ) -> None:
        for job_id in kept_packages(rows):
            if self._add_package(writer, job_id):
                continue
            if keeps_package(source, job_id):
                self._summary.warnings.append(f"the kept package of job {job_id} is missing")
            rows.execute("UPDATE jobs SET package_kept = 0 WHERE job_id = ?", (job_id,))

    def _add_log(self, writer: ArchiveWriter, job_id: str, size: int | None) -> list[str]:
        """Add the log of a finished job of `size` bytes, or what there is of a live one's."""
        logs = self._stores.logs
        with SpooledTemporaryFile(max_size=_SPOOL_BYTES, dir=str(self._part.parent)) as spool:
            try:
                wanted = logs.size(job_id) if size is None else size
                while spool.tell() < wanted and (
                    piece := logs.read(job_id, spool.tell(), min(_PIECE, wanted - spool.tell()))
                ):
                    spool.write(piece)
                marks = logs.known_marks(job_id)
            except LogCorruptError as error:
                return [f"the log of job {job_id} is damaged: {error}"]
            if written := spool.tell():
                if marks:
                    writer.add(member_name("marks", job_id), BytesIO(marks), len(marks))
                _add_spooled(writer, member_name("live" if size is None else "logs", job_id), spool)
        if size is not None and written < size:
            return [f"the log of job {job_id} has {written} bytes, not {size}"]
        return []

    def _add_artifact(self, writer: ArchiveWriter, job_id: str, artifact: Artifact) -> str | None:
        """Add a file; returns what is wrong with it."""
        about = f"the artifact {artifact.path!r} of job {job_id}"
        try:
            content = self._stores.artifacts.open(job_id, artifact)
        except ArtifactNotFoundError:
            return f"{about} is missing"
        with (
            content,
            SpooledTemporaryFile(max_size=_SPOOL_BYTES, dir=str(self._part.parent)) as spool,
        ):
            copy(content, spool)
            name = member_name("artifacts", job_id, artifact.sha256)
            if _add_spooled(writer, name, spool) != artifact.sha256:
                return f"{about} is damaged: its SHA-256 differs"
        return None


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _add_spooled(writer: ArchiveWriter, name: str, spool: IO[bytes]) -> str:
    size = spool.tell()
    spool.seek(0)
    return writer.add(name, spool, size)


def _jobs(rows: sqlite3.Connection) -> Iterator[tuple[str, bool, int]]:
    """Id, whether it has ended, and size of the log, of every job."""
    last = 0
    while True:
        batch = rows.execute(
            "SELECT seq, job_id, ended_at IS NOT NULL, coalesce(log_size, 0) FROM jobs "
            "WHERE seq > ? ORDER BY seq LIMIT ?",
            (last, _BATCH),
        ).fetchall()
        if not batch:
            return
        last = batch[-1][0]
        for _, job_id, ended, log_size in batch:
            yield str(job_id), bool(ended), int(log_size)


def _artifacts(rows: sqlite3.Connection, job_id: str) -> list[tuple[str, str]]:
    """SHA-256 of every content, and one of the paths that have it."""
    if not rows.execute("SELECT 1 FROM sqlite_schema WHERE name = 'artifacts'").fetchone():
        return []  # the first schema
    statement = "SELECT sha256, min(path) FROM artifacts WHERE job_id = ? GROUP BY sha256"
    return [(str(row[0]), str(row[1])) for row in rows.execute(statement, (job_id,))]


def _exists(rows: sqlite3.Connection, job_id: str) -> bool:
    return bool(rows.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone())


def _is_live(rows: sqlite3.Connection, job_id: str) -> bool:
    statement = f"SELECT 1 FROM jobs WHERE job_id = ? AND status IN {LIVE}"  # noqa: S608
    return bool(rows.execute(statement, (job_id,)).fetchone())
