"""A log in memory (port LogAppender)."""

import threading

from ci_common.ports.logs import HELD_BYTES


class MemoryLog:
    """Keeps everything, for tests to look at."""

    def __init__(self, content=b""):
        self.content = bytearray(content)
        self.held_from = 0
        self.held_content = bytearray()
        self.synced = 0
        self.times = []
        """The offsets of what was received at another time than when it was appended, and when."""
        self._lock = threading.Lock()

    @property
    def size(self):
        return len(self.content)

    @property
    def at_line_start(self):
        return self.content[-1:] in (b"", b"\n")

    def append(self, content, received_at=None):
        with self._lock:
            if received_at is not None:
                self.times.append((len(self.content), received_at))
            self.content += content

    def hold(self, offset, content):
        if offset != self.held_from + len(self.held_content):
            self.held_from, self.held_content = offset, bytearray()
        self.held_content += content

    def read(self, offset, limit):
        return bytes(self.content[offset : offset + limit])

    def held(self, since_epoch):
        surplus = max(len(self.held_content) - HELD_BYTES, 0)
        start = self.held_from + surplus if self.held_content else 0
        return start, bytes(self.held_content[surplus:])

    def drop_held(self):
        self.held_from, self.held_content = 0, bytearray()

    def sync(self):
        self.synced = self.size + len(self.held_content)

    def truncate(self, size):
        del self.content[size:]

    def close(self):
        pass
