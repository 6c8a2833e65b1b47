"""The logs: read by the server, written and kept by the controller."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

HELD_BYTES: Final = 8 << 20
"""The tail of a log that is larger than its bound is at most this."""

MARK_BYTES: Final = 64 << 10
"""The marks of a log are at most this far apart."""

MARK_SECONDS: Final = 1.0
"""The bytes from a mark to the next were all received within this time after the mark's."""


class LogMark(NamedTuple):
    """What is known of one place in a log."""

    offset: int
    lines: int
    """Line ends (`\\n`) before it."""
    received_at: float | None
    """When the byte at `offset` was received: seconds since 1970, by the controller's clock, which
    may be set while a job runs. `None` where nobody noted it.
    """


class LogReader(Protocol):
    """Reads the append-only log of a job. Offsets are bytes and valid for ever.

    Methods are quick (the page cache holds live logs) and may be called from any thread.
    A job without a log yet has size 0.
    """

    def size(self, job_id: str) -> int:
        """Bytes stored so far."""

    def read(self, job_id: str, offset: int, limit: int) -> bytes:
        """`limit` bytes from `offset`; fewer only at the end. Raises LogCorruptError rather than
        returning bytes that are not the log's.
        """


class LogMarks(Protocol):
    """Tells when the bytes of a log were received, and in which lines they are.

    Marks are a hint that is written beside the log, and not synced. Where some are missing, the
    log is read, and there are marks without a time in their place. So line numbers are always
    right, and times may be unknown.
    """

    def marks(self, job_id: str, offset: int = 0) -> Sequence[LogMark]:
        """The marks of the log as it is now, in order, at most MARK_BYTES apart: the last one at or
        before `offset`, and all after it. The first of a log is at 0; a log that is empty has none.

        Slow where marks are missing: call it on a thread. Raises LogCorruptError.
        """


class LogAppender(Protocol):
    """The one open end of a log. Used by one thread at a time."""

    @property
    def size(self) -> int:
        """Bytes stored so far, which is the offset of the next byte."""

    @property
    def at_line_start(self) -> bool:
        """Whether the next byte begins a line."""

    def append(self, content: bytes, received_at: float | None = None) -> None:
        """Add bytes at the end; readers see them at once. All or, on an error, a prefix. They were
        received at `received_at` (seconds since 1970), by default now: marks tell it. Raises
        OSError (ENOSPC) when the disk is full up to what is kept for the database.
        """

    def hold(self, offset: int, content: bytes) -> None:
        """Keep bytes that the log has no room for now, from this offset of an unbounded log on:
        they may become its end. Only the newest `HELD_BYTES` need to be kept. Raises like `append`.
        """

    def held(self, since_epoch: int) -> tuple[int, bytes]:
        """The offset of the first byte that is held, and the bytes; (0, b"") when nothing is. What
        was held before this epoch does not count: it belongs to an earlier attempt.
        """

    def drop_held(self) -> None:
        """Forget what is held: before a new attempt, and after the end. What a controller of a
        later epoch holds stays.
        """

    def read(self, offset: int, limit: int) -> bytes:
        """`limit` bytes of the log from `offset`; fewer at its end."""

    def sync(self) -> None:
        """Return only when everything appended, and held, would survive a power cut. May be called
        from another thread. Raises LeaseLostError when the log was opened in a later epoch, and
        what was appended may therefore not be part of it.
        """

    def truncate(self, size: int) -> None:
        """Cut off what a crash left half written at the end. Only for bytes no reader was sent."""

    def close(self) -> None:
        """Give up the file; safe to repeat."""


class LogWriter(Protocol):
    """Opens logs for writing."""

    def open(self, job_id: str, epoch: int) -> LogAppender:
        """The end of the job's log, made when there is none, for the holder of the controller
        lease in `epoch`. It may wait for the disk: call it on another thread.

        One appender a job at a time: one of an earlier epoch, whose process does not know yet
        that it lost the lease, writes into nothing from now on. Raises LeaseLostError when the
        log was opened in a later epoch, or compressed: then the job has ended.
        """


class LogKeeper(Protocol):
    """What becomes of logs after the job's end. Slow: call it on another thread.

    At most one process does this, the holder of the controller lease; readers see no difference.
    """

    def compress(self, job_id: str, size: int) -> int:
        """Compress a finished log of `size` bytes; returns the bytes it takes on disk now.

        Safe to repeat, and to be killed at any point. Raises LogCorruptError, and keeps the log
        as it is, when it has not all of the bytes; OSError when the disk is full.
        """

    def delete(self, job_id: str) -> None:
        """Remove the log for good (a power cut does not bring it back); safe to repeat."""
