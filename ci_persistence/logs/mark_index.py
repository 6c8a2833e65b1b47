"""Reads the marks of logs, and makes those that are missing from the logs themselves."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

from ci_common.errors import LogCorruptError
from ci_common.ports.logs import MARK_BYTES, LogMark
from ci_persistence.logs.cache import SharedCache
from ci_persistence.logs.marks import Record, from_stored, in_order, records_from
from ci_persistence.logs.segments import LiveLog, Span

_CACHED_MARKS = 200_000
_CACHED_COUNTS = 4096
_PIECE = 256 << 10

Read = Callable[[int, int], bytes | None]
"""`read(offset, limit)` gives bytes of the log; `None` when it is not there any more."""


@dataclass(frozen=True, slots=True)
class _File:
    """What of a log is in one file. Offsets in it count from its start."""

    key: Hashable
    span: Span
    read: Read

    @property
    def begin(self) -> int:
        return self.span.begin

    @property
    def size(self) -> int:
        return self.span.end - self.span.begin

    def records(self, offset: int) -> list[Record]:
        """From that offset on."""
        return [] if self.span.marks is None else records_from(self.span.marks, offset, self.size)

    def count(self, offset: int, end: int) -> int:
        """Line ends between two offsets."""
        lines = 0
        while offset < end:
            piece = self.read(self.begin + offset, min(end - offset, _PIECE))
            if piece is None:
                raise _LogGoneError
            if not piece:
                raise LogCorruptError(f"the log ends before byte {self.begin + end}")
            lines += piece.count(b"\n")
            offset += len(piece)
        return lines


class _LogGoneError(Exception):
    """It was compressed, or deleted, meanwhile."""


class MarkIndex:
    """For all readers of one process, on any thread. What has to be read from a log is kept."""

    def __init__(self) -> None:
        self._finished: SharedCache[list[LogMark]] = SharedCache(_CACHED_MARKS, len)
        self._gaps: SharedCache[list[Record]] = SharedCache(_CACHED_MARKS, len)
        self._counts: SharedCache[int] = SharedCache(_CACHED_COUNTS, lambda _: 1)

    def of_archive(
        self, identity: Hashable, size: int, marks: str, read: Read, offset: int
    ) -> list[LogMark]:
        """The marks of a finished log of that size from `offset` on (port LogMarks); `identity`
        is that of its archive, and `marks` where its marks are.
        """

        def make() -> list[LogMark]:
            records = in_order(from_stored(_content(marks)), size)
            return list(self._complete(_File(identity, Span(0, size, None), read), records, 0))

        return _from(self._finished.get(identity, make), offset)

    def of_live(self, live: LiveLog, offset: int) -> list[LogMark] | None:
        """The same of a log that is not compressed; `None` when there is no such log."""
        spans = live.spans()
        if spans is None:
            return None
        files = [
            _File((str(live.directory), span.begin, span.marks), span, live.read)
            for span in spans
            if span.end > span.begin
        ]
        found: list[LogMark] = []
        lines = 0
        try:
            for file in files:
                wanted = max(offset - file.begin, 0)
                if wanted < file.size or file is files[-1]:
                    found += self._complete(file, file.records(wanted), lines, wanted)
                if file is not files[-1]:
                    lines += self._lines(file)
        except _LogGoneError:
            return None
        return _from(found, offset)

    def _complete(
        self, file: _File, records: Sequence[Record], lines: int, offset: int = 0
    ) -> Iterator[LogMark]:
        """The marks of what is in one file, which begins after so many lines of the log: those of
        its records from `offset` on, and between them what is missing.
        """
        begin, size = file.begin, file.size
        is_known = bool(records) and records[0].offset <= offset
        first = records[0] if is_known else Record(0, 0, 0)
        if first.offset < size:
            time = first.milliseconds / 1000 if is_known else None
            yield LogMark(begin + first.offset, lines + first.lines, time)
        for before, after in pairwise([first, *records[is_known:], None]):
            end = size if after is None else after.offset
            for record in self._between(file, before or first, end):
                yield LogMark(begin + record.offset, lines + record.lines, None)
            if after is not None and after.offset < size:
                time = after.milliseconds / 1000
                yield LogMark(begin + after.offset, lines + after.lines, time)

    def _between(self, file: _File, before: Record, end: int) -> Sequence[Record]:
        """Places where marks are missing between that of a record and `end`."""
        if end - before.offset <= MARK_BYTES:
            return ()

        def make() -> list[Record]:
            found = [before]
            while (offset := found[-1].offset + MARK_BYTES) < end:
                lines = found[-1].lines + file.count(found[-1].offset, offset)
                found.append(Record(offset, lines, 0))
            return found[1:]

        return self._gaps.get((file.key, before.offset, end), make)

    def _lines(self, file: _File) -> int:
        """How many lines end in what is in one file, which does not grow."""

        def make() -> int:
            records = file.records(file.size)
            last = records[-1] if records else Record(0, 0, 0)
            return last.lines + file.count(last.offset, file.size)

        return self._counts.get((file.key, file.size), make)


def _from(marks: list[LogMark], offset: int) -> list[LogMark]:
    first = bisect_right(marks, offset, key=attrgetter("offset")) - 1
    return marks[max(first, 0) :]


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""
