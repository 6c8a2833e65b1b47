"""Brings a backup back: checked first, then laid out beside the old state, then put in its place.

Only the last step changes what a server would see. It is a few renames, under a mark that makes
servers refuse to start when a crash cuts them off.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ci_common.errors import BackupError, DatabaseError
from ci_common.failure_line import write_failure_line
from ci_common.job import JobStatus, Outcome, Reason, format_time, utc_now
from ci_persistence.backup.archive import (
    DATABASE,
    HEADER,
    MANIFEST,
    ArchiveReader,
    Header,
    Member,
    copy,
)
from ci_persistence.backup.stored_packages import kept_packages, live_jobs
from ci_persistence.database.database import Database
from ci_persistence.database.errors import damaged, explain
from ci_persistence.database.integrity import find_damage
from ci_persistence.database.location import check_place, restoring_mark
from ci_persistence.database.open_lock import DatabaseLock
from ci_persistence.database.write_lock import read_only
from ci_persistence.files.artifacts import FileArtifactBatch, FileArtifactStore
from ci_persistence.files.data_directory import Marker, read_marker, write_marker
from ci_persistence.files.durable import sync_directory, sync_file
from ci_persistence.files.packages import FilePackageStore
from ci_persistence.logs.store import FileLogStore
from ci_persistence.signals.in_process import ProcessJobSignals
from ci_persistence.sqlite.data_claim import is_used
from ci_persistence.sqlite.delivery_rows import DISABLE_ALL, FORGET_FORMER_EVENTS
from ci_persistence.sqlite.events import BEGIN_STREAM
from ci_persistence.sqlite.job_rows import LIVE
from ci_persistence.sqlite.lease import is_dead

STORED = ("packages", "logs", "artifacts", "staging")
"""The directories of a data directory that a backup stands for."""

STAGE_PREFIX = "restore-"
KEPT_PREFIX = "before-restore-"

_PIECE = 1 << 20

_COPY_MESSAGE = (
    "the job was live when the backup was made, and belongs to the original instance; "
    "submit it again"
)


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What to restore, where, and as whom."""

    archive: Path
    database: Path
    data: Path
    force: bool = False
    """Whether what is there may be put aside."""
    new_instance: bool = False
    """Whether the original goes on elsewhere: then this is a copy, which runs none of its jobs."""


@dataclass(slots=True)
class RestoreSummary:
    """What was restored."""

    header: Header
    jobs: int = 0
    live_jobs: int = 0
    kept: list[Path] = field(default_factory=list)
    """Where the former state was put."""
    warnings: list[str] = field(default_factory=list)


class Restore:
    """One restore. `run` either does all of it, or changes nothing."""

    def __init__(self, plan: RestorePlan) -> None:
        self._plan = plan
        self._database = plan.database.resolve()
        self._moment = utc_now().strftime("%Y%m%dT%H%M%S.%fZ")
        self._stage = plan.data / f"{STAGE_PREFIX}{self._moment}"
        self._rows = self._database.with_name(f"{self._database.name}-{STAGE_PREFIX}{self._moment}")

    def run(self) -> RestoreSummary:
        """Restore. Raises BackupError, or DatabaseError."""
        if not self._plan.archive.is_file():
            raise BackupError(f"there is no file {self._plan.archive}")
        summary = RestoreSummary(ArchiveReader(self._plan.archive).verify())
        try:
            check_place(self._plan.database)
            self._plan.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone(self._database), self._cleaned_up():
                self._check_target(summary.header)
                self._lay_out(summary)
                self._swap(summary)
            summary.warnings += _foreign_owner(self._database, self._plan.data)
        except sqlite3.Error as error:
            raise explain(self._rows, error) from error
        except OSError as error:
            raise BackupError(
                f"the backup could not be restored: {error}; {self._plan.data} and "
                f"{self._database.parent} must be writable and have room for it"
            ) from error
        return summary

    # ------------------------------------------------------------------ may we

    def _check_target(self, header: Header) -> None:
        _check_lease(self._database)
        if not self._plan.new_instance and self._original_runs(header):
            raise BackupError(
                f"the original of this backup ({header.database}) is running on this machine, and "
                "both would use the same containers: stop it first, or restore an independent "
                "copy with --new-instance"
            )
        self._check_owner()
        occupied = [path for path in self._former() if _holds_anything(path)]
        if occupied and not self._plan.force:
            raise BackupError(
                f"{occupied[0]} is there already; restore to paths where nothing exists "
                "(CI_DB_PATH, CI_DATA_DIR), or use --force to keep the existing state under "
                "another name"
            )

    def _check_owner(self) -> None:
        """Not even with --force is the data directory of another database put aside."""
        try:
            marker = read_marker(self._plan.data)
        except DatabaseError:
            return  # damaged; it is put aside
        if marker is None or not is_used(marker, self._database):
            return
        raise BackupError(
            f"the data directory {self._plan.data} belongs to the database {marker.database}, not "
            f"to {self._database}; name another one with CI_DATA_DIR"
        )

    def _original_runs(self, header: Header) -> bool:
        original = Path(header.database)
        if header.host != socket.gethostname() or original == self._database:
            return False
        if not original.with_name(f"{original.name}-lock").exists():
            return False
        lock = DatabaseLock(original)
        try:
            return not lock.try_alone()
        finally:
            lock.release()

    # ------------------------------------------------------------------ beside the old state

    def _lay_out(self, summary: RestoreSummary) -> None:
        self._stage.mkdir(mode=0o700)
        _Layout(self._stage, self._rows).extract(self._plan.archive)
        if problems := find_damage(self._rows, thorough=True):
            raise damaged(self._rows, problems)
        asyncio.run(_migrate(self._rows))
        with closing(sqlite3.connect(self._rows, isolation_level=None)) as rows:
            rows.execute("PRAGMA journal_mode=DELETE")
            rows.execute("BEGIN IMMEDIATE")
            self._adopt(rows, summary)
            self._claim(rows)
            rows.execute("COMMIT")
        sync_file(self._rows)

    def _adopt(self, rows: sqlite3.Connection, summary: RestoreSummary) -> None:
        logs = FileLogStore(self._stage, ProcessJobSignals())
        packages = FilePackageStore(self._stage, 0)
        # Containers that were made after the backup have later epochs than it knows. The clock
        # is later than any of them, and than what an earlier restore made of it.
        rows.execute(
            "UPDATE controller_lease SET holder = NULL, expires_at = NULL, heartbeat_at = NULL, "
            "engine_error = NULL, epoch = max(epoch + 1, ?)",
            (int(time.time()),),
        )
        # Numbers of events will be reused: cursors from after the backup must not be accepted.
        rows.execute(BEGIN_STREAM)
        # Who signed out since, or was made to, must not be signed in again.
        rows.execute("DELETE FROM sessions")
        if self._plan.new_instance:
            rows.execute("UPDATE instance SET instance_id = lower(hex(randomblob(16)))")
            _end_live_jobs(rows, logs)
            rows.execute(DISABLE_ALL)
        for statement in FORGET_FORMER_EVENTS:
            rows.execute(statement)
        _note_archives(rows, logs)
        live, kept = live_jobs(rows), kept_packages(rows)
        expected = {job_id for job_id, has_package in live.items() if has_package}
        stored = set(packages.job_ids(0))
        for job_id in stored - expected - kept:
            packages.delete(job_id)
        lost = [(job_id,) for job_id in kept - stored]
        rows.executemany("UPDATE jobs SET package_kept = 0 WHERE job_id = ?", lost)
        rows.execute("DELETE FROM package_deletions")  # their files were not laid out
        summary.warnings += [f"job {job_id} has no package" for job_id in sorted(expected - stored)]
        summary.live_jobs = len(live)
        summary.jobs = int(rows.execute("SELECT count(*) FROM jobs").fetchone()[0])

    def _claim(self, rows: sqlite3.Connection) -> None:
        """Rows and files name each other, whatever they did where the backup was made."""
        rows.execute("UPDATE instance SET data_path = ?", (str(self._plan.data.resolve()),))
        (instance_id,) = rows.execute("SELECT instance_id FROM instance").fetchone()
        write_marker(self._stage, Marker(str(instance_id), str(self._database)))

    # ------------------------------------------------------------------ in its place

    def _swap(self, summary: RestoreSummary) -> None:
        mark = restoring_mark(self._database)
        mark.write_text(f"{self._plan.archive}\n")
        sync_directory(mark.parent)
        for path in self._former():
            if path.exists():
                kept = self._kept_path(path)
                kept.parent.mkdir(exist_ok=True, mode=0o700)
                path.rename(kept)
                summary.kept.append(kept)
        self._database.with_name(f"{self._database.name}-shm").unlink(missing_ok=True)
        for path in self._stage.iterdir():
            path.rename(self._plan.data / path.name)
        self._rows.rename(self._database)
        for directory in (self._plan.data, self._database.parent):
            sync_directory(directory)
        mark.unlink()
        sync_directory(mark.parent)

    def _former(self) -> list[Path]:
        """What a server would take for its state."""
        journal = self._database.with_name(f"{self._database.name}-wal")
        return [self._database, journal, *(self._plan.data / name for name in STORED)]

    def _kept_path(self, path: Path) -> Path:
        name = f"{KEPT_PREFIX}{self._moment}"
        if path.parent == self._plan.data and path.name in STORED:
            return self._plan.data / name / path.name
        # SQLite finds a journal by its database's name, so the pair can still be opened.
        suffix = path.name.removeprefix(self._database.name)
        return path.with_name(f"{self._database.name}-{name}{suffix}")

    @contextlib.contextmanager
    def _cleaned_up(self) -> Iterator[None]:
        """Nothing but the result stays, nor what a restore that was killed had laid out."""
        self._clean_up()
        try:
            yield
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        for leftover in self._plan.data.glob(f"{STAGE_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for file in self._database.parent.glob(f"{self._database.name}-{STAGE_PREFIX}*"):
            file.unlink(missing_ok=True)


class _Layout:
    """The stores of a data directory that is being filled, and where the rows go."""

    def __init__(self, data: Path, rows: Path) -> None:
        self._packages = FilePackageStore(data, 0)
        self._logs = FileLogStore(data, ProcessJobSignals())
        self._artifacts = FileArtifactStore(data)
        self._rows = rows
        self._batch: tuple[str, FileArtifactBatch] | None = None
        """The artifacts of one job follow one another."""
        self._marks = b""
        """Of the log that comes next."""

    def extract(self, archive: Path) -> None:
        """Write everything durably. A job's log, once finished, is compressed at once."""
        for member, content in ArchiveReader(archive).members():
            if member.kind != "artifacts":
                self._end_batch()
            if member.kind not in (HEADER, MANIFEST):
                self._take(member, content)
        self._end_batch()
        if not self._rows.exists():
            raise BackupError(f"{archive} is damaged: it has no rows")

    def _take(self, member: Member, content: IO[bytes]) -> None:
        if member.kind == "packages":
            self._package(member.job_id, content)
        elif member.kind == "artifacts":
            self._artifact(member, content)
        elif member.kind == "marks":
            self._marks = content.read()
        elif member.kind == DATABASE:
            with self._rows.open("xb") as file:
                self._rows.chmod(0o600)
                copy(content, file)
        else:
            self._log(member, content)

    def _package(self, job_id: str, content: IO[bytes]) -> None:
        staged = self._packages.stage()
        try:
            for piece in _pieces(content):
                staged.write(piece)
            staged.commit(job_id)
        finally:
            staged.discard()

    def _log(self, member: Member, content: IO[bytes]) -> None:
        log = self._logs.open(member.job_id)
        try:
            for piece in _pieces(content):
                log.append(piece)
            log.sync()
        finally:
            log.close()
        marks, self._marks = self._marks, b""
        self._logs.replace_marks(member.job_id, marks)
        if member.kind == "logs":
            self._logs.compress(member.job_id, member.size)

    def _artifact(self, member: Member, content: IO[bytes]) -> None:
        if self._batch is None or self._batch[0] != member.job_id:
            self._end_batch()
            self._batch = (member.job_id, self._artifacts.begin(member.job_id))
        self._batch[1].add(member.digest, _pieces(content))

    def _end_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch[1].commit()


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    lock = DatabaseLock(database)
    try:
        if not lock.try_alone():
            raise BackupError(
                f"{database} is in use by a server or another command; stop the server first"
            )
        yield
    finally:
        lock.release()


def _check_lease(database: Path) -> None:
    """Servers of the first version take no lock, but they keep their lease fresh. A fresh lease
    of a process that was killed is nobody's.
    """
    if not database.exists():
        return
    # A database that cannot be read is no reason to stop: it may be why there is a restore.
    with contextlib.suppress(sqlite3.Error), read_only(database) as rows:
        found = rows.execute("SELECT holder, expires_at FROM controller_lease").fetchone()
        holder, expires = found or ("", None)
        if expires is None or expires <= (format_time(utc_now()) or ""):
            return
        if not is_dead(str(holder), database):
            raise BackupError(
                f"a controller is running on {database} (its lease is valid until {expires}); stop "
                "it, and wait until the lease expires"
            )


async def _migrate(path: Path) -> None:
    database = Database(path, DatabaseLock(path))
    try:
        await database.open()
    finally:
        await database.close()


def _end_live_jobs(rows: sqlite3.Connection, logs: FileLogStore) -> None:
    found = rows.execute(f"SELECT job_id FROM jobs WHERE status IN {LIVE}").fetchall()  # noqa: S608
    outcome = Outcome(JobStatus.FAILED, Reason.LOST, _COPY_MESSAGE)
    for (job_id,) in found:
        log = logs.open(job_id)
        write_failure_line(log, outcome)
        size = log.size
        log.close()
        logs.compress(job_id, size)
        rows.execute(
            "UPDATE jobs SET status = 'failed', reason = ?, message = ?, ended_at = ?, "
            "log_size = ? WHERE job_id = ?",
            (outcome.reason.value, outcome.message, format_time(utc_now()), size, job_id),
        )


def _note_archives(rows: sqlite3.Connection, logs: FileLogStore) -> None:
    """What the finished logs take on disk, now that they are all compressed."""
    stored = ((logs.stored_bytes(job_id), job_id) for job_id in set(logs.job_ids()))
    rows.executemany(
        "UPDATE jobs SET log_stored = ? WHERE job_id = ? AND ended_at IS NOT NULL", stored
    )


def _foreign_owner(database: Path, data: Path) -> list[str]:
    owner = database.parent.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return []
    return [f"the restored files belong to root: chown -R {owner} {data} {database}* may be needed"]


def _holds_anything(path: Path) -> bool:
    if path.is_dir():
        return any(entry.is_file() for entry in path.rglob("*"))
    return path.exists() and path.stat().st_size > 0


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(_PIECE):
        yield piece
