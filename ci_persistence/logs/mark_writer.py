"""Writes the marks of one segment while its log is written."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from ci_common.ports.logs import MARK_BYTES, MARK_SECONDS
from ci_persistence.files.disk_reserve import DiskReserve
from ci_persistence.logs.marks import (
    HEADER,
    Record,
    in_order,
    read_records,
    to_record,
)

logger = logging.getLogger(__name__)

_COUNTED_BYTES = 1 << 20
_MARK_MILLISECONDS = round(MARK_SECONDS * 1000)

Now = Callable[[], float]
"""Seconds since 1970."""


class MarkWriter:
    """Marks of the segment that the controller of one epoch writes. Used by one thread at a time.

    A mark is written before the bytes that it is of, so whoever sees these sees the mark, too. When
    they do not follow, or not all of them, `reset` is to be called. A disk that takes no marks does
    not keep the log from being written: then there are no more of them.
    """

    def __init__(
        self,
        directory: Path,
        epoch: int,
        read: Callable[[int, int], bytes],
        reserve: DiskReserve,
        now: Now = time.time,
    ) -> None:
        """`read(offset, limit)` gives bytes of the segment, from whose start offsets count."""
        self._path = directory / marks_name(epoch)
        self._read = read
        self._reserve = reserve
        self._now = now
        self._descriptor: int | None = None
        self._given_up = False
        self._offset = 0
        """Up to which `_lines` are counted."""
        self._lines = 0
        self._last: Record | None = None
        self._begin_at = self._until = self._full_at = 0

    def before(self, offset: int, content: bytes, received_at: float | None) -> None:
        """Mark what is about to be written at this offset of the segment."""
        if self._given_up or not content:
            return
        at = int((self._now() if received_at is None else received_at) * 1000)
        if self._begin_at <= at < self._until and self._offset + len(content) <= self._full_at:
            # Most pieces are of a line or a few, and covered by the last mark.
            self._lines += content.count(b"\n")
            self._offset += len(content)
            return
        try:
            if self._descriptor is None:
                self._open(offset)
            if records := self._marks_of(content, at):
                self._write(records)
            self._cover(self._last)
        except OSError as error:
            self._give_up(error)

    def reset(self) -> None:
        """Look anew at what is there before the next mark; safe to repeat."""
        self._cover(None)
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _cover(self, last: Record | None) -> None:
        """Note what needs no other mark than this one."""
        self._begin_at = 0 if last is None else last.milliseconds
        self._until = 0 if last is None else last.milliseconds + _MARK_MILLISECONDS
        self._full_at = 0 if last is None else last.offset + MARK_BYTES

    def _marks_of(self, content: bytes, milliseconds: int) -> list[Record]:
        """The marks in the content, whose lines are counted. Its time is told when the last one's
        does not cover it.
        """
        start, end = self._offset, self._offset + len(content)
        last, found = self._last, []
        if last is None or not 0 <= milliseconds - last.milliseconds < _MARK_MILLISECONDS:
            last = Record(start, self._lines, milliseconds)
            found.append(last)
        # Not before `start`, where the lines are counted: marks in front of it may have been lost.
        while (offset := max(last.offset + MARK_BYTES, start)) < end:
            self._count(content, start, offset)
            last = Record(offset, self._lines, milliseconds)
            found.append(last)
        self._count(content, start, end)
        self._last = last
        return found

    def _count(self, content: bytes, start: int, end: int) -> None:
        self._lines += content.count(b"\n", self._offset - start, end - start)
        self._offset = end

    def _write(self, records: list[Record]) -> None:
        content = b"".join(map(to_record, records))
        self._reserve.take(len(content))
        if self._descriptor is not None and os.write(self._descriptor, content) < len(content):
            raise OSError("only a part of a mark could be written")

    def _open(self, size: int) -> None:
        """Go on after the marks of what is there: the segment's bytes before `size`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        content = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        records: list[Record] = []
        if content.startswith(HEADER):
            records = in_order(read_records(content[len(HEADER) :]), size)
        if content != HEADER + b"".join(map(to_record, records)):
            os.ftruncate(self._descriptor, 0)
            content = b""
        if not content:
            os.write(self._descriptor, HEADER + b"".join(map(to_record, records)))
        self._last = records[-1] if records else None
        self._offset, self._lines = (self._last.offset, self._last.lines) if self._last else (0, 0)
        while self._offset < size:
            piece = self._read(self._offset, min(size - self._offset, _COUNTED_BYTES))
            if not piece:
                raise OSError(f"only {self._offset} of the segment's {size} bytes can be read")
            self._count(piece, self._offset, self._offset + len(piece))

    def _give_up(self, error: OSError) -> None:
        logger.warning("%s: the rest of the log has no time stamps: %s", self._path, error)
        self._given_up = True
        self.reset()


def marks_name(epoch: int) -> str:
    """Of the file with the marks of that epoch's segment."""
    return f"{epoch}.marks"


def write_marks(path: Path, records: list[Record]) -> None:
    """Write all marks of one segment, as those of a log that is restored."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(HEADER + b"".join(map(to_record, records)))
