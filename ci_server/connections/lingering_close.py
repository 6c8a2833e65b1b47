"""The close of a connection whose client may still be sending (RFC 9112, 9.6)."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LingerBounds:
    """For how long, and how many bytes, a client that was answered may go on sending."""

    seconds: float
    size: int


BRIEF = LingerBounds(1.0, 8 << 20)
"""For a request that is malformed or too slow."""

UPLOAD = LingerBounds(30.0, 256 << 20)
"""For a request that is in order, and may be an upload: some clients read no answer before the
whole of it is sent."""


class LingeringClose:
    """Tells the client that no more is coming, and throws away what it still sends.

    Were the connection closed with a part of the request unread, the network would tell the
    client only that it was reset, and the answer might be lost. A client that reads its answer
    closes the connection, and that ends this, too.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        bounds: LingerBounds,
    ) -> None:
        self._transport = transport
        self._left = bounds.size
        self._timer = loop.call_later(bounds.seconds, transport.abort)
        if transport.can_write_eof():
            transport.write_eof()

    def received(self, size: int) -> None:
        """Throw away so many bytes; after too many of them the connection is cut."""
        self._left -= size
        if self._left < 0:
            self._transport.abort()

    def cancel(self) -> None:
        """The connection is gone."""
        self._timer.cancel()
