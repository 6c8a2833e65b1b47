"""Logs as files (ports LogReader, LogWriter, LogKeeper): live ones as they are, finished ones
compressed.

Below `logs/`, a job's log is the directory `ab/abcd….live/` (segments) until it is the file
`ab/abcd….log.zst` (archive). Where both are there, the archive counts: it gets its name only
when it is complete, checked and on disk. `ab/abcd….marks` are the marks of the archive, if any were
written. `ab/abcd….live.deleted/` is a live log that is being removed.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from typing_extensions import override

from ci_common.errors import LeaseLostError, LogCorruptError
from ci_common.ports.logs import LogKeeper, LogMark, LogMarks, LogReader, LogWriter
from ci_common.ports.signals import JobSignals
from ci_persistence.files.data_directory import Check, explained, no_check
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.files.durable import sync_directory
from ci_persistence.logs.appender import SegmentAppender
from ci_persistence.logs.archive import LogArchiveReader, write_archive
from ci_persistence.logs.mark_index import MarkIndex
from ci_persistence.logs.mark_writer import Now
from ci_persistence.logs.marks import from_stored, to_stored
from ci_persistence.logs.segments import LiveLog

Result = TypeVar("Result")

_ARCHIVE = ".log.zst"
_PART = ".part"
_LIVE = ".live"
_SINGLE = ".log"
_MARKS = ".marks"


class FileLogStore(LogReader, LogMarks, LogWriter, LogKeeper):
    """The logs of one data directory. Without a reserve they may take all of the disk."""

    def __init__(
        self,
        data_path: Path,
        signals: JobSignals,
        reserve: DiskReserve | None = None,
        check: Check = no_check,
        now: Now = time.time,
    ) -> None:
        self._check = check
        self._now = now
        root = data_path / "logs"
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = str(root)
        self._signals = signals
        self._reserve = reserve or DiskReserve(data_path, 0)
        self._archives = LogArchiveReader()
        self._marks = MarkIndex()

    @override
    def size(self, job_id: str) -> int:
        found = self._first(
            lambda: self._archives.size(self._path(job_id, _ARCHIVE)), self._live(job_id).size
        )
        return found or 0

    @override
    def read(self, job_id: str, offset: int, limit: int) -> bytes:
        found = self._first(
            lambda: self._archives.read(self._path(job_id, _ARCHIVE), offset, limit),
            lambda: self._live(job_id).read(offset, limit),
        )
        return found or b""

    @override
    def marks(self, job_id: str, offset: int = 0) -> list[LogMark]:
        def in_archive() -> list[LogMark] | None:
            archive = self._path(job_id, _ARCHIVE)
            if (identity := self._archives.identity(archive)) is None:
                return None
            size, marks = self._archives.size(archive) or 0, self._path(job_id, _MARKS)
            read = partial(self._archives.read, archive)
            return self._marks.of_archive(identity, size, marks, read, offset)

        found = self._first(in_archive, lambda: self._marks.of_live(self._live(job_id), offset))
        return found or []

    @override
    def open(self, job_id: str, epoch: int | None = None) -> SegmentAppender:
        """Without an epoch, for tools that have the data directory to themselves,
        it is a later one than all.
        """
        self._check()
        if Path(self._path(job_id, _ARCHIVE)).exists():
            raise LeaseLostError("the job has ended, and its log is compressed already")
        with explained(self._check):
            Path(self._root).mkdir(exist_ok=True, mode=0o700)
            return SegmentAppender(
                *(self._live(job_id), epoch, job_id, self._signals, self._reserve),
                *(self._check, self._now),
            )

    @override
    def compress(self, job_id: str, size: int) -> int:
        self._check()
        live, archive = self._live(job_id), Path(self._path(job_id, _ARCHIVE))
        stored = self._archives.size(str(archive))
        if stored is None and size:
            self._write(job_id, size, live, archive)
        elif stored not in (None, size):
            raise LogCorruptError(f"{archive}: expected {size} bytes of log, found {stored}")
        if size:
            sync_directory(archive.parent)
        live.delete()
        return self.stored_bytes(job_id) if size else 0

    @override
    def delete(self, job_id: str) -> None:
        self._check()
        Path(self._path(job_id, _ARCHIVE)).unlink(missing_ok=True)
        Path(self._path(job_id, _MARKS)).unlink(missing_ok=True)
        self._live(job_id).delete()
        self._remove_parts(job_id)
        with contextlib.suppress(FileNotFoundError):
            sync_directory(Path(self._path(job_id, _ARCHIVE)).parent)

    def known_marks(self, job_id: str) -> bytes:
        """The marks whose times are known, for a backup; empty when there are none."""
        return to_stored(self.marks(job_id))

    def replace_marks(self, job_id: str, content: bytes) -> None:
        """Make what `known_marks` told before the marks of a log that was written anew, by one
        controller, and is not compressed.
        """
        self._live(job_id).replace_marks(from_stored(content))

    def stored_bytes(self, job_id: str) -> int:
        """What the log takes on disk now."""
        paths = [Path(self._path(job_id, suffix)) for suffix in (_ARCHIVE, _MARKS, _SINGLE)]
        with contextlib.suppress(FileNotFoundError):
            paths += Path(self._path(job_id, _LIVE)).iterdir()
        total = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def has(self, job_id: str) -> bool:
        """Whether there is anything of the job here."""
        return any(Path(self._path(job_id, "")).parent.glob(f"{job_id}.*"))

    def job_ids(self) -> Iterator[str]:
        """The jobs that have anything here, in no order; some of them more than once."""
        for shard in os.scandir(self._root):
            if shard.is_dir():
                for entry in os.scandir(shard):
                    yield entry.name.partition(".")[0]

    def _first(
        self, in_archive: Callable[[], Result | None], in_live: Callable[[], Result | None]
    ) -> Result | None:
        # The archive is there before the live log goes: what is in neither, one after the other,
        # was switched in between, and is in the archive.
        for source in (in_archive, in_live, in_archive):
            if (found := source()) is not None:
                return found
        self._check()  # none of them is there when the directory is gone
        return None

    def _write(self, job_id: str, size: int, live: LiveLog, archive: Path) -> None:
        if (live.size() or 0) < size:
            raise LogCorruptError(f"the log of job {job_id} has not {size} bytes")
        self._remove_parts(job_id)
        # A name of its own: a process that was paused in mid-work, and lost the lease, can
        # neither write into nor rename what we are writing.
        part = Path(self._path(job_id, f".{uuid.uuid4().hex}{_PART}"))
        try:
            write_archive(part, size, lambda offset, limit: live.read(offset, limit) or b"")
            self._write_marks(job_id, size, live)
        except (OSError, LogCorruptError):
            part.unlink(missing_ok=True)
            raise
        part.rename(archive)

    def _write_marks(self, job_id: str, size: int, live: LiveLog) -> None:
        marks = [mark for mark in self._marks.of_live(live, 0) or () if mark.offset < size]
        if not (content := to_stored(marks)):
            return
        part = Path(self._path(job_id, f".{uuid.uuid4().hex}{_PART}"))
        try:
            part.touch(0o600)
            part.write_bytes(content)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        part.rename(self._path(job_id, _MARKS))

    def _remove_parts(self, job_id: str) -> None:
        for path in Path(self._path(job_id, "")).parent.glob(f"{job_id}.*{_PART}"):
            path.unlink(missing_ok=True)

    def _live(self, job_id: str) -> LiveLog:
        return LiveLog(self._path(job_id, _LIVE), self._path(job_id, _SINGLE))

    def _path(self, job_id: str, suffix: str) -> str:
        # Two levels, so that a long history does not make one huge directory.
        return f"{self._root}/{job_id[:2]}/{job_id}{suffix}"
