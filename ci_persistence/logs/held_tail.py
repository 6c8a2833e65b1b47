"""The newest bytes of an output that is larger than its log may be, until they become its tail.

They are in files beside the log's segments, `E-S.held`: E is the lease epoch of the controller that
wrote it, S the offset of its first byte. A file is begun when the one before has a tail's length;
the last two hold a whole tail, and older ones go. Two controllers of one attempt, one of them
paused past its lease, write the same bytes at the same offset, so what either left may be used; but
what was held before the attempt began may not. Nobody touches the files of a later epoch.
"""

import contextlib
import os
import re
import threading
from pathlib import Path

from ci_common.ports.logs import HELD_BYTES
from ci_persistence.files.durable import sync_directory

_NAME = re.compile(r"(\d+)-(\d+)\.held")


class HeldTail:
    """What is held of one log, for the controller of one epoch."""

    def __init__(self, directory: Path, epoch: int) -> None:
        self._directory = directory
        self._epoch = epoch
        self._descriptor: int | None = None
        self._start = 0
        """Of the file that is written."""
        self._end = 0
        self._lock = threading.Lock()
        """Held while the file is synced, by another thread, or changed for the next."""

    def append(self, offset: int, content: bytes) -> None:
        """Add the bytes from this offset on. Raises OSError."""
        if self._descriptor is None or offset != self._end or self._is_full():
            self._begin(offset)
        remaining = memoryview(content)
        while remaining and self._descriptor is not None:
            written = os.write(self._descriptor, remaining)
            self._end += written
            remaining = remaining[written:]

    def read(self, since_epoch: int) -> tuple[int, bytes]:
        """The newest bytes without a gap that were held in this epoch or later, at most
        `HELD_BYTES`, and the offset of the first.
        """
        pieces = []
        for epoch, begin, path in self._files():
            with contextlib.suppress(FileNotFoundError):  # of a later controller, which prunes
                if epoch >= since_epoch:
                    pieces.append((begin, path.read_bytes()))
        pieces.sort(key=lambda one: one[0] + len(one[1]), reverse=True)
        start, content = 0, b""
        for begin, piece in pieces:
            if not content:
                start, content = begin, piece
            elif begin < start <= begin + len(piece):
                start, content = begin, piece[: start - begin] + content
        surplus = max(len(content) - HELD_BYTES, 0)
        return (start + surplus if content else 0), content[surplus:]

    def clear(self) -> None:
        """Remove all files but those of a later controller."""
        self.close()
        for epoch, _, path in self._files():
            if epoch <= self._epoch:
                path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Return when what was added would survive a power cut, but for the file's name."""
        with self._lock:
            self._sync()

    def close(self) -> None:
        """Give up the file; safe to repeat."""
        with self._lock:
            self._close()

    def _is_full(self) -> bool:
        return self._end - self._start >= HELD_BYTES

    def _begin(self, offset: int) -> None:
        with self._lock:
            self._sync()  # later it is the next file that is synced
            self._close()
            path = self._directory / f"{self._epoch}-{offset}.held"
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
            self._start = self._end = offset
        sync_directory(self._directory)
        for epoch, begin, other in self._files():
            with contextlib.suppress(FileNotFoundError):
                is_old = begin + other.stat().st_size <= offset - HELD_BYTES
                if epoch <= self._epoch and is_old:
                    other.unlink()

    def _sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _files(self) -> list[tuple[int, int, Path]]:
        """Epoch, offset of the first byte, and path."""
        found = []
        for path in self._directory.iterdir():
            if match := _NAME.fullmatch(path.name):
                found.append((int(match[1]), int(match[2]), path))
        return found
