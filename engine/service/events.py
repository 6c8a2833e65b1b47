"""Server-sent events: how a client that asks for them is told of progress and the result."""

import json
from collections.abc import Callable
from typing import Any

TYPE = "text/event-stream"
COMMENT = b": still running\n\n"


def wanted(accept: str | None) -> bool:
    """Whether a client asks for events."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in (accept or "").split(",")]
    return TYPE in kinds


def event(name: str, content: bytes) -> bytes:
    """One event; the content is JSON in one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), content)


def progress(step: dict[str, Any]) -> bytes:
    """The event of one step."""
    return event("progress", json.dumps(step, separators=(",", ":")).encode("ascii"))


class Chunks:
    """Writes a body of unknown length, so that its end is told from a cut (RFC 9112, 7.1)."""

    def __init__(self, write: Callable[[bytes], object], *, chunked: bool) -> None:
        self._write = write
        self._chunked = chunked

    def send(self, content: bytes) -> None:
        """One chunk; not empty."""
        self._write(b"%x\r\n%s\r\n" % (len(content), content) if self._chunked else content)

    def end(self) -> None:
        """The body is complete."""
        if self._chunked:
            self._write(b"0\r\n\r\n")
