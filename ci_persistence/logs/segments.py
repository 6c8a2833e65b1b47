"""A live log on disk: a directory with a file for each controller that has written to the log.

The file `E-S-P.log` was begun by the controller of lease epoch E, and its first byte has the
offset S in the log; P is the epoch of the file it continues, `none` for the first. The file of
the highest epoch, and those that it continues one after the other, are the log; of each only the
bytes before the next one's S count.

That fences without locks and without copying. What a process that was paused past its lease
writes into its own file after its successor began one lies beyond the successor's S; a file that
it begins late is continued by nobody. Neither is part of the log, however late it comes.

Beside each file there may be `E.marks` (see `marks`): hints, which count as far as their bytes do.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from ci_common.errors import LeaseLostError, LogCorruptError
from ci_persistence.files.durable import sync_directory
from ci_persistence.logs.mark_writer import marks_name, write_marks
from ci_persistence.logs.marks import Record

Result = TypeVar("Result")

_NAME = re.compile(r"(\d+)-(\d+)-(\d+|none)\.log")

_LOOKS = 5
"""Attempts, since a file may be renamed between its listing and its opening, which is rare."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One of the files of a log."""

    epoch: int
    start: int
    continues: int | None

    @property
    def name(self) -> str:
        """Of the file."""
        previous = "none" if self.continues is None else self.continues
        return f"{self.epoch}-{self.start}-{previous}.log"


@dataclass(frozen=True, slots=True)
class Span:
    """What of a log is in one file."""

    begin: int
    end: int
    marks: str | None
    """The file with its marks; `None` for a log of the first version."""


@lru_cache(maxsize=1024)
def chain(names: tuple[str, ...]) -> tuple[Segment, ...]:
    """The segments that make up the log, first to last. Raises LogCorruptError."""
    segments = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            previous = None if match[3] == "none" else int(match[3])
            segments[int(match[1])] = Segment(int(match[1]), int(match[2]), previous)
    if not segments:
        return ()
    found = [segments[max(segments)]]
    while (previous := found[-1].continues) is not None:
        if previous not in segments or previous >= found[-1].epoch:
            raise LogCorruptError(f"the log's file {found[-1].name} continues one that is missing")
        found.append(segments[previous])
    return tuple(reversed(found))


class LiveLog:
    """The files of one log that is not compressed. Reading takes a few system calls, because
    everybody who watches does it all the time.

    `single` is where the log was, as one file, in data directories of the first version.
    """

    def __init__(self, directory: str, single: str) -> None:
        self._directory = directory
        self._single = single

    def size(self) -> int | None:
        """Bytes so far; `None` when there is no such log."""

        def measure(segments: Sequence[Segment]) -> int:
            return segments[-1].start + os.stat(self._path(segments[-1])).st_size

        return self._look(measure, lambda: os.stat(self._single).st_size)

    def read(self, offset: int, limit: int) -> bytes | None:
        """`limit` bytes from `offset`, fewer at the end; `None` when there is no such log.

        Raises LogCorruptError when a segment has fewer bytes than it had.
        """

        def gather(segments: Sequence[Segment]) -> bytes:
            if len(segments) == 1:
                return _read_at(self._path(segments[0]), offset, limit)
            return b"".join(self._pieces(segments, offset, limit))

        return self._look(gather, lambda: _read_at(self._single, offset, limit))

    def spans(self) -> list[Span] | None:
        """What is in which file; `None` when there is no such log."""

        def measure(segments: Sequence[Segment]) -> list[Span]:
            last = os.stat(self._path(segments[-1])).st_size + segments[-1].start
            ends = [*(segment.start for segment in segments[1:]), last]
            return [
                Span(segment.start, end, f"{self._directory}/{marks_name(segment.epoch)}")
                for segment, end in zip(segments, ends, strict=True)
            ]

        return self._look(measure, lambda: [Span(0, os.stat(self._single).st_size, None)])

    def open(self, epoch: int | None) -> tuple[Segment, int]:
        """The segment of that epoch, made when there is none, and a descriptor of it for
        appending. `None` is an epoch later than all. Raises LeaseLostError.
        """
        for directory in (Path(self._directory).parent, Path(self._directory)):
            directory.mkdir(exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            Path(self._single).rename(self._path(Segment(0, 0, None)))
        segments = self._segments()
        if not segments:
            return self._begin(Segment(epoch or 0, 0, None))
        newest = segments[-1]
        if epoch is None:
            epoch = newest.epoch + 1
        if epoch < newest.epoch:
            raise LeaseLostError
        if epoch == newest.epoch:
            return newest, os.open(self._path(newest), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self._continue(newest, epoch)

    def shorten(self, own: Segment, size: int) -> Segment:
        """Make a log whose last segment is `own` and empty end before that segment's start."""
        earlier = [
            segment
            for segment in self._segments()
            if segment.epoch < own.epoch and segment.start < size
        ]
        moved = Segment(own.epoch, size, earlier[-1].epoch if earlier else None)
        Path(self._path(own)).rename(self._path(moved))
        return moved

    def is_newest(self, own: Segment) -> bool:
        """Whether no later controller has opened the log, so that all bytes of `own` are its."""
        segments = self._segments()
        return bool(segments) and segments[-1].epoch == own.epoch

    def is_file_of(self, own: Segment, descriptor: int) -> bool:
        """Whether this open file is the one of that name: a directory that was deleted and copied
        back has another.
        """
        try:
            return os.path.samestat(os.stat(self._path(own)), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    @property
    def directory(self) -> Path:
        """Of the segments."""
        return Path(self._directory)

    def replace_marks(self, records: list[Record]) -> None:
        """Make these the marks of a log that is in one segment."""
        (segment,) = self._segments()
        path = self.directory / marks_name(segment.epoch)
        path.unlink(missing_ok=True)
        if records:
            write_marks(path, records)

    def sync_names(self) -> None:
        """Return when the names of the files would survive a power cut."""
        live = Path(self._directory)
        for directory in (live, *live.parents[:2]):
            sync_directory(directory)

    def delete(self) -> None:
        """Remove all files at once; safe to repeat. A reader that found only some of them would
        take the log for shorter, or damaged.
        """
        Path(self._single).unlink(missing_ok=True)
        gone = Path(f"{self._directory}.deleted")
        _remove(gone)  # left by an interrupted deletion
        with contextlib.suppress(FileNotFoundError):
            Path(self._directory).rename(gone)
        _remove(gone)

    def _begin(self, segment: Segment) -> tuple[Segment, int]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return segment, os.open(self._path(segment), flags, 0o600)

    def _continue(self, newest: Segment, epoch: int) -> tuple[Segment, int]:
        # What we continue must be on disk first: a power cut must leave no hole before ours.
        end = self._synced_end(newest)
        segment, descriptor = self._begin(Segment(epoch, end, newest.epoch))
        # A process that still wrote while we looked may have shown those bytes to readers.
        if (grown := self._synced_end(newest)) != end:
            moved = Segment(epoch, grown, newest.epoch)
            Path(self._path(segment)).rename(self._path(moved))
            segment = moved
        return segment, descriptor

    def _synced_end(self, segment: Segment) -> int:
        descriptor = os.open(self._path(segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            end = segment.start + os.fstat(descriptor).st_size
            os.fsync(descriptor)
            return end
        finally:
            os.close(descriptor)

    def _pieces(self, segments: Sequence[Segment], offset: int, limit: int) -> Iterator[bytes]:
        end = offset + limit
        stops = [segment.start for segment in segments[1:]]
        for segment, stop in zip(segments, [*stops, None], strict=True):
            wanted = (end if stop is None else min(stop, end)) - offset
            if wanted <= 0:
                continue
            piece = _read_at(self._path(segment), offset - segment.start, wanted)
            if stop is not None and len(piece) < wanted:
                raise LogCorruptError(f"the log's file {segment.name} ends before byte {stop}")
            offset += len(piece)
            yield piece

    def _look(
        self, look: Callable[[Sequence[Segment]], Result], look_at_single: Callable[[], Result]
    ) -> Result | None:
        for _ in range(_LOOKS):
            with contextlib.suppress(FileNotFoundError):
                if segments := self._segments():
                    return look(segments)
                break
        with contextlib.suppress(FileNotFoundError):
            return look_at_single()
        return None

    def _segments(self) -> tuple[Segment, ...]:
        try:
            return chain(tuple(os.listdir(self._directory)))
        except FileNotFoundError:
            return ()

    def _path(self, segment: Segment) -> str:
        return f"{self._directory}/{segment.name}"


def _remove(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for path in directory.iterdir():
            path.unlink(missing_ok=True)
        directory.rmdir()


def _read_at(path: str, offset: int, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)
