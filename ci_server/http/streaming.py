"""Streams as answers, of encoded events or plain bytes. They end when the server shuts down."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ci_common.errors import RunnerError
from ci_server.http.standing_access import while_access_lasts

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15
_FILE_CHUNK_BYTES = 1 << 18
_SEPARATOR = "\n"
_HEADERS = {
    # no-transform: proxies that compress would hold lines back.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class PatientResponse(EventSourceResponse):
    """A stream whose reader may take no byte for `send_timeout`, and no longer, and that ends with
    the reader's access.
    """

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to the end, to the reader's end, or to the end of patience, of the reader's
        access, or of what can be read.
        """
        try:
            async with while_access_lasts(scope):
                await super().__call__(scope, receive, send)
        except RunnerError as error:
            # Too late to answer with it. An end that is not one is all that a client can be told.
            logger.error("%s: the answer is cut off: %s", scope["path"], error)  # noqa: TRY400
        except SendTimeoutError:
            logger.info("%r: disconnected, because the client stopped reading", scope["path"])


def event_stream(
    body: AsyncIterator[bytes],
    send_timeout_seconds: float,
    headers: Mapping[str, str] | None = None,
) -> EventSourceResponse:
    """A response of encoded Server-Sent Events, with heartbeats, that ends when the server shuts
    down.
    """
    return PatientResponse(
        body,
        headers={**_HEADERS, **(headers or {})},
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep=_SEPARATOR),
        sep=_SEPARATOR,
        send_timeout=send_timeout_seconds,
    )


def text_stream(
    body: AsyncIterator[bytes],
    send_timeout_seconds: float,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "text/plain; charset=utf-8",
) -> EventSourceResponse:
    """A stream of plain text, or other bytes. Not events, but it must end on shutdown, and let go
    of a stalled client, in the same way.
    """
    return PatientResponse(
        body,
        status,
        headers={**_HEADERS, "X-Content-Type-Options": "nosniff", **(headers or {})},
        media_type=media_type,
        ping=0,
        send_timeout=send_timeout_seconds,
    )


async def file_content(file: BinaryIO, first: int, end: int) -> AsyncIterator[bytes]:
    """The bytes from one offset to another, or to the file's end, read in threads."""
    file.seek(first)
    while first < end:
        content = await asyncio.to_thread(file.read, min(_FILE_CHUNK_BYTES, end - first))
        if not content:
            return
        first += len(content)
        yield content
