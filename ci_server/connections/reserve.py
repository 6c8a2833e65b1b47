"""Connections beyond the limits, which are let in only as far as the line of their request.

Health probes are answered even when all connections are taken, and everybody else is told why
they are not. Neither may keep a connection: whoever says nothing has to make room for newcomers.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

HEAD_SECONDS = 2.0
"""For the line of the request; of a probe, for its whole head."""

PROBE_SECONDS = 10.0
"""For the answer to a probe, and for its client to take it."""

LINE_BYTES = 2 << 10
"""A longer line is not that of a probe."""

HEAD_BYTES = 16 << 10

PROBE_PATHS = ("/health", "/ready", "/api/v1/health", "/api/v1/health/ready")
"""The last two may have a slash at their end."""

_PATHS = "|".join((*PROBE_PATHS, "/api/v1/health/", "/api/v1/health/ready/"))
_PROBE = re.compile(
    rb"(?:GET|HEAD) (?:%s)(?:\?[!-~]*)? HTTP/1\.[01]\r\n" % _PATHS.encode(),
)
_HEAD_END = b"\r\n\r\n"
_CLOSE = b"Connection: close\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionRefusal:
    """Why a connection is not taken."""

    status: HTTPStatus
    message: str


class ReservedConnection:
    """One of them.

    `try_admit` is asked when the line of the request is there: it may be that a place became
    free. `refuse` is told whether the answer has a body, and whether the connection may linger.
    """

    def __init__(
        self,
        address: str,
        refusal: ConnectionRefusal,
        *,
        loop: asyncio.AbstractEventLoop,
        try_admit: Callable[[], bool],
        refuse: Callable[[ConnectionRefusal, bool, bool], None],
        abort: Callable[[], None],
    ) -> None:
        self.address = address
        self.waits_for_request = True
        self.is_answering = False
        self._refusal = refusal
        self._loop = loop
        self._try_admit = try_admit
        self._refuse = refuse
        self._abort = abort
        self._received = b""
        self._timer = loop.call_later(HEAD_SECONDS, self._end_silence)

    def feed(self, data: bytes) -> bytes:
        """Take what came in; what of it is for the parser, once that is decided."""
        if not self.waits_for_request:
            return b""
        self._received = (self._received + data).lstrip(b"\r\n")
        if b"\n" not in self._received and len(self._received) <= LINE_BYTES:
            return b""
        if self._try_admit():
            self.waits_for_request = False
            return self._received
        if probe := _PROBE.match(self._received):
            return self._probe_head(probe.end())
        self._decline()
        return b""

    def evict(self) -> None:
        """Make room for another one, at once."""
        if self.waits_for_request:
            self._stop_waiting()
            self._refuse(self._refusal, True, False)
        else:
            self._abort()

    def close(self) -> None:
        """The connection is gone, or is no longer one of these."""
        self._timer.cancel()

    def _probe_head(self, line_size: int) -> bytes:
        """The head of a probe when it is whole, and told to be the last of its connection."""
        end = self._received.find(_HEAD_END)
        if end < 0:
            if len(self._received) > HEAD_BYTES:
                self._decline()
            return b""
        head = self._received[: end + len(_HEAD_END)]
        self._stop_waiting()
        self.is_answering = True
        self._timer = self._loop.call_later(PROBE_SECONDS, self._abort)
        return head[:line_size] + _CLOSE + head[line_size:]

    def _decline(self) -> None:
        has_body = not self._received.startswith(b"HEAD ")
        self._stop_waiting()
        self._refuse(self._refusal, has_body, True)

    def _end_silence(self) -> None:
        self._stop_waiting()
        self._refuse(self._refusal, True, True)

    def _stop_waiting(self) -> None:
        self.waits_for_request = False
        self._timer.cancel()
        self._received = b""


class ConnectionReserve:
    """So many connections at once. The newest is always let in, unless all are being answered."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: dict[ReservedConnection, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def enter(self, connection: ReservedConnection) -> bool:
        """Take a connection, in place of another one when it has to be; whether it is taken."""
        if len(self._members) >= self._size and not self._make_room():
            return False
        self._members[connection] = None
        return True

    def leave(self, connection: ReservedConnection) -> None:
        """The connection is gone, or is no longer one of these."""
        connection.close()
        self._members.pop(connection, None)

    def _make_room(self) -> bool:
        """Evict one: of those that asked for nothing, if there are any, of the address that has
        the most, the oldest.
        """
        evictable = [member for member in self._members if not member.is_answering]
        if not evictable:
            return False
        counts = Counter(member.address for member in evictable)
        victim = max(evictable, key=lambda m: (m.waits_for_request, counts[m.address]))
        self.leave(victim)
        victim.evict()
        return True
