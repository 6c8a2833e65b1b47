"""The encoded form of log events, kept for all readers at the same place."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from ci_common.events import LogEvent

Encoded = TypeVar("Encoded")

_ENTRY_BYTES = 256
"""What an entry takes besides its content; of many small events that is most of it."""


class EncodedLogCache(Generic[Encoded]):
    """The events used last, within a number of bytes. Logs never change, so it is never wrong; with
    many readers of one live log each event is encoded once.
    """

    def __init__(
        self,
        encode: Callable[[str, LogEvent], Encoded],
        size: Callable[[Encoded], int],
        max_bytes: int,
    ) -> None:
        """`encode` takes the job's id and the event; `size` is in bytes."""
        self._encode = encode
        self._size = size
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[str, int, int], Encoded] = OrderedDict()
        self._bytes = 0
        self.hits = self.misses = 0

    def encode(self, job_id: str, event: LogEvent) -> Encoded:
        """The event as it is sent."""
        key = (job_id, event.end_offset, len(event.content))
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
            self.hits += 1
            return found
        self.misses += 1
        encoded = self._entries[key] = self._encode(job_id, event)
        self._bytes += self._size(encoded) + _ENTRY_BYTES
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            self._bytes -= self._size(self._entries.popitem(last=False)[1]) + _ENTRY_BYTES
        return encoded
