"""The bound on a job's log: its head as it comes, its tail at the end, and how much is missing."""

import time
from collections.abc import Callable

from typing_extensions import override

from ci_common.ports.logs import HELD_BYTES, LogAppender
from ci_common.ports.workloads import OutputEnd
from ci_controller.executors.shared.missing_output import lost_marker
from ci_controller.output.output_log import OutputLog
from ci_controller.output.received_times import ReceivedTimes

_CUT_AT_LINE_BYTES = 64 << 10


class CappedLog(OutputLog):
    """What a workload writes, put into the log up to a size.

    Up to the head's size everything is in the log at once. What comes then is held back, and
    written at the end: all of it when it is no more than the tail's size, else one marker line
    and the tail. The log holds it on disk until then. So the result is a function of the output
    alone, and after a crash another process only needs, and adds, what is missing.
    """

    def __init__(
        self,
        log: LogAppender,
        base: int,
        cap_bytes: int,
        since_epoch: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`since_epoch` is that of the lease under which the workload was launched."""
        self._log = log
        self._now = now
        self._base = base
        self._tail_bytes = min(cap_bytes // 4, HELD_BYTES)
        self._head_bytes = cap_bytes - self._tail_bytes
        self._held = bytearray()
        self._forgotten = 0
        """Bytes beyond the head that are not held any more."""
        self._times = ReceivedTimes()
        """By places beyond the head."""
        # After a power cut the log may end before the point where this output begins.
        self._position = max(min(log.size - base, self._head_bytes), 0)
        if self._position == self._head_bytes:
            self._take_up_what_is_held(since_epoch)

    @property
    @override
    def skip(self) -> int:
        """How many bytes of the output are stored already, and need not be read again."""
        return self._position

    def tail(self, size: int) -> bytes:
        """Up to `size` bytes from the end of the stored output (including what is held back),
        starting at the beginning of a line.
        """
        end = min(self._position, self._head_bytes)
        start = max(end - size, 0)
        stored = self._log.read(self._base + start, end - start)
        whole = (stored + self._held[-size:])[-size:]
        return whole if len(whole) == self._position else whole[whole.find(b"\n") + 1 :]

    @override
    def append(self, content: bytes) -> None:
        """Take the next bytes of the output, the first time from `skip` on."""
        room = max(self._head_bytes - self._position, 0)
        if room and content:
            self._log.append(content[:room])
        if rest := content[room:]:
            self._log.hold(self._base + max(self._position, self._head_bytes), rest)
            self._hold(rest)
        self._position += len(content)

    @override
    def sync(self) -> None:
        self._log.sync()

    @override
    def finish(self, end: OutputEnd) -> int:
        """Write what was held back, and what is lost; returns how many bytes of the output the log
        leaves out because of its bound.
        """
        dropped, marker, kept = self._ending()
        note = lost_marker(end) + end.note
        length = len(marker) + len(self._held) - kept + len(note)
        start = self._base + min(end.size, self._head_bytes)
        # An earlier run may have come this far, and have written a part of it. After a power cut
        # the log may also have more of the output than the end speaks of.
        written = self._log.read(start, length)  # the runner's last line may come after it
        if not (marker + self._held[kept:] + note).startswith(written):
            written = b""
        self._append_ending(marker, kept, note, len(written))
        return dropped

    def _append_ending(self, marker: bytes, kept: int, note: bytes, skip: int) -> None:
        """Write the end but for its first bytes, what is held with the times of its receipt."""
        pieces = list(self._times.pieces(self._forgotten + kept, self._forgotten + len(self._held)))
        parts = [
            (marker, pieces[0][2] if pieces else None),
            *(
                (bytes(self._held[begin - self._forgotten : end - self._forgotten]), received_at)
                for begin, end, received_at in pieces
            ),
            (note, None),
        ]
        for content, received_at in parts:
            if rest := content[skip:]:
                self._log.append(rest, received_at)
            skip = max(skip - len(content), 0)

    def _take_up_what_is_held(self, since_epoch: int) -> None:
        start, content = self._log.held(since_epoch)
        if start >= self._base + self._head_bytes and content:
            self._forgotten = start - self._base - self._head_bytes
            self._times.note(self._forgotten, self._now())
            self._held += content
            self._position = start + len(content) - self._base

    def _hold(self, content: bytes) -> None:
        self._times.note(self._forgotten + len(self._held), self._now())
        self._held += content
        # Twice the tail, so that bytes are not moved for every piece that comes.
        if len(self._held) > 2 * self._tail_bytes:
            surplus = len(self._held) - self._tail_bytes
            del self._held[:surplus]
            self._forgotten += surplus
            self._times.forget_before(self._forgotten)

    def _ending(self) -> tuple[int, bytes, int]:
        """How many bytes are left out, what tells it, and from where on what is held is kept."""
        surplus = max(len(self._held) - self._tail_bytes, 0)
        if not self._forgotten and not surplus:
            return 0, b"", 0
        # From the start of a line, where there is one near: neither a character nor a colour
        # sequence is cut then.
        line = self._held.find(b"\n", surplus, surplus + _CUT_AT_LINE_BYTES) + 1
        start = line or surplus
        dropped = self._forgotten + start
        marker = f"\n[... {dropped} bytes left out: the log is larger than its limit ...]\n"
        return dropped, marker.encode(), start


def cut_off(log: LogAppender, start: int, cap_bytes: int, why: str) -> None:
    """Write the end of a log whose workload is gone: what is held of it, and that more may be
    missing. `start` was the log's size before. Safe to repeat.
    """
    head_bytes = cap_bytes - min(cap_bytes // 4, HELD_BYTES)
    marker = lost_marker(OutputEnd(start, None, why))
    if log.read(max(log.size - len(marker), 0), len(marker)) == marker:
        return
    _, content = log.held(0)
    if content:
        capped = CappedLog(log, start - head_bytes, cap_bytes)
        capped.finish(OutputEnd(capped.skip, None, why))
        return
    written = log.read(start, len(marker))
    log.append(marker[len(written) if marker.startswith(written) else 0 :])
