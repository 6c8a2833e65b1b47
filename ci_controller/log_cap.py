"""The bound on a job's log: its head as it comes, its tail at the end, and how much is missing."""

from ci_common.ports.logs import LogAppender

_MOST_TAIL_BYTES = 8 << 20
"""The tail is held in memory until the end, so it is bounded whatever the cap is."""

_CUT_AT_LINE_BYTES = 64 << 10


class CappedLog:
    """What a workload writes, put into the log up to a size.

    Up to the head's size everything is in the log at once. What comes then is held back, and
    written at the end: all of it when it is no more than the tail's size, else one marker line
    and the tail. The result is a function of the output alone, so that after a crash another
    process which reads the same output again only adds what is missing.
    """

    def __init__(self, log: LogAppender, base: int, cap_bytes: int) -> None:
        self._log = log
        self._base = base
        self._tail_bytes = min(cap_bytes // 4, _MOST_TAIL_BYTES)
        self._head_bytes = cap_bytes - self._tail_bytes
        self._held = bytearray()
        self._forgotten = 0
        """Bytes beyond the head that are not held any more."""

    @property
    def skip(self) -> int:
        """How many bytes of the output are stored already, and need not be read again."""
        # After a power cut the log may end before the point where this output begins.
        return max(min(self._log.size - self._base, self._head_bytes), 0)

    def append(self, content: bytes) -> None:
        """Take the next bytes of the output, the first time from `skip` on."""
        room = max(self._base + self._head_bytes - self._log.size, 0)
        if room and content:
            self._log.append(content[:room])
        rest = content[room:]
        if not rest:
            return
        self._held += rest
        # Twice the tail, so that bytes are not moved for every piece that comes.
        if len(self._held) > 2 * self._tail_bytes:
            surplus = len(self._held) - self._tail_bytes
            del self._held[:surplus]
            self._forgotten += surplus

    def finish(self) -> int:
        """Write what was held back; returns how many bytes are left out of the log."""
        if self._log.size < self._base + self._head_bytes:
            return 0
        dropped, ending = self._ending()
        written = self._log.size - self._base - self._head_bytes
        self._log.append(ending[written:])
        return dropped

    def _ending(self) -> tuple[int, bytes]:
        surplus = max(len(self._held) - self._tail_bytes, 0)
        if not self._forgotten and not surplus:
            return 0, bytes(self._held)
        # From the start of a line, where there is one near: neither a character nor a colour
        # sequence is cut then.
        line = self._held.find(b"\n", surplus, surplus + _CUT_AT_LINE_BYTES) + 1
        start = line or surplus
        dropped = self._forgotten + start
        marker = f"\n[... {dropped} bytes left out: the log is larger than it may be ...]\n"
        return dropped, marker.encode() + self._held[start:]
