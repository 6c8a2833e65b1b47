"""Logs as files (ports LogReader, LogWriter): one append-only file a job, raw bytes."""

import os
from pathlib import Path

from ci_common.ports import JobSignals


class FileLogStore:
    """The logs of one data directory."""

    def __init__(self, data_path: Path, signals: JobSignals) -> None:
        self._root = data_path / "logs"
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._signals = signals

    def size(self, job_id: str) -> int:
        """See LogReader."""
        try:
            return self._path(job_id).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, job_id: str, offset: int, limit: int) -> bytes:
        """See LogReader."""
        try:
            descriptor = os.open(self._path(job_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)

    def open(self, job_id: str) -> "FileLogAppender":
        """See LogWriter."""
        path = self._path(job_id)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        return FileLogAppender(path, job_id, self._signals)

    def _path(self, job_id: str) -> Path:
        # Two levels, so that a long history does not make one huge directory.
        return self._root / job_id[:2] / f"{job_id}.log"


class FileLogAppender:
    """The open end of one log (port LogAppender)."""

    def __init__(self, path: Path, job_id: str, signals: JobSignals) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._job_id = job_id
        self._signals = signals

    @property
    def size(self) -> int:
        """See LogAppender."""
        return self._size

    def append(self, content: bytes) -> None:
        """See LogAppender."""
        remaining = memoryview(content)
        while remaining:
            # At its own offset: a former holder of the lease that wakes up late repeats the
            # same bytes at the same place, and adds none.
            written = os.pwrite(self._open_descriptor(), remaining, self._size)
            self._size += written
            remaining = remaining[written:]
        self._signals.notify(self._job_id)

    def sync(self) -> None:
        """See LogAppender."""
        os.fsync(self._open_descriptor())

    def close(self) -> None:
        """See LogAppender."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError("the log was closed")
        return self._descriptor
