"""Writing to a live log: the segment of one controller, its marks, and what is held back."""

import os
import time
from typing import NoReturn

from typing_extensions import override

from ci_common.errors import DataDirectoryUnavailableError, LeaseLostError
from ci_common.ports.logs import LogAppender
from ci_common.ports.signals import JobSignals
from ci_persistence.files.data_directory import Check, explained, no_check
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.logs.held_tail import HeldTail
from ci_persistence.logs.mark_writer import MarkWriter, Now
from ci_persistence.logs.segments import LiveLog


class SegmentAppender(LogAppender):
    """The open end of one log (port LogAppender)."""

    def __init__(
        self,
        live: LiveLog,
        epoch: int | None,
        job_id: str,
        signals: JobSignals,
        reserve: DiskReserve,
        check: Check = no_check,
        now: Now = time.time,
    ) -> None:
        self._live = live
        self._check = check
        self._segment, descriptor = live.open(epoch)
        self._descriptor: int | None = descriptor
        self._size = self._segment.start + os.fstat(descriptor).st_size
        self._names_synced = False
        self._held = HeldTail(live.directory, self._segment.epoch)
        self._marks = MarkWriter(live.directory, self._segment.epoch, self._read_own, reserve, now)
        self._job_id = job_id
        self._signals = signals
        self._reserve = reserve

    @property
    @override
    def size(self) -> int:
        return self._size

    @property
    @override
    def at_line_start(self) -> bool:
        return self._size == 0 or self.read(self._size - 1, 1) == b"\n"

    @override
    def append(self, content: bytes, received_at: float | None = None) -> None:
        descriptor = self._open_descriptor()
        with explained(self._check):
            self._reserve.take(len(content))
            self._marks.before(self._size - self._segment.start, content, received_at)
            remaining = memoryview(content)
            try:
                while remaining:
                    written = os.write(descriptor, remaining)
                    self._size += written
                    remaining = remaining[written:]
            except OSError:
                self._marks.reset()
                raise
        if os.fstat(self._open_descriptor()).st_nlink == 0:
            self._deleted()
        self._signals.notify(self._job_id)

    @override
    def hold(self, offset: int, content: bytes) -> None:
        with explained(self._check):
            self._reserve.take(len(content))
            self._held.append(offset, content)

    @override
    def held(self, since_epoch: int) -> tuple[int, bytes]:
        with explained(self._check):
            return self._held.read(since_epoch)

    @override
    def read(self, offset: int, limit: int) -> bytes:
        found = self._live.read(offset, limit)
        if found is None:
            self._check()
        return found or b""

    @override
    def drop_held(self) -> None:
        with explained(self._check):
            self._held.clear()

    @override
    def sync(self) -> None:
        with explained(self._check):
            os.fsync(self._open_descriptor())
            self._held.sync()
            if not self._names_synced:
                try:
                    self._live.sync_names()
                except FileNotFoundError:
                    self._deleted()
                self._names_synced = True
        # Last: what was appended before a later controller opened the log is part of it.
        if not self._live.is_newest(self._segment):
            self._deleted()
        if not self._live.is_file_of(self._segment, self._open_descriptor()):
            self._check()
            raise DataDirectoryUnavailableError(
                "the log's file was replaced by another one while it was written, so what was "
                "written meanwhile is read from the job once more"
            )

    @override
    def truncate(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise ValueError(f"a log of {self._size} bytes cannot be cut to {size}")
        os.ftruncate(self._open_descriptor(), max(size - self._segment.start, 0))
        self._marks.reset()
        if size < self._segment.start:
            self._segment = self._live.shorten(self._segment, size)
            self._names_synced = False
        self._size = size

    @override
    def close(self) -> None:
        self._held.close()
        self._marks.reset()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _read_own(self, offset: int, limit: int) -> bytes:
        return self._live.read(self._segment.start + offset, limit) or b""

    def _deleted(self) -> NoReturn:
        """The file is in no log any more: all of the directory is gone, or the log has gone on
        without us.
        """
        self._check()
        raise LeaseLostError

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError("the log was closed")
        return self._descriptor
