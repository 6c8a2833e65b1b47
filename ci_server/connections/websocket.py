"""WebSocket connections with bounds: what `BoundedHttpProtocol` hands over when one is opened.

The head of the opening request was bounded by then, and the connection is counted. Here the client
has messages of a bounded size, in a bounded number of frames; what it does not take, or does not
let the application take, waits in buffers of a bounded size; and a peer that vanished is noticed.
"""

import asyncio
import fcntl
import json
import logging
import struct
import termios
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ci_server.connections.lingering_close import BRIEF, LingeringClose
from ci_server.connections.raw_answers import error_answer
from ci_server.connections.request_head import HEAD_TOO_LARGE, URL_TOO_LONG
from ci_server.http.security_headers import SECURITY_HEADERS
from ci_server.telemetry.request_id import new_request_id

logger = logging.getLogger(__name__)

_parser_log = logging.getLogger(f"{__name__}.parser")
_parser_log.setLevel(logging.WARNING)  # uvicorn logs each connection already

MESSAGE_BYTES = 64 << 10
"""The longest message of a client."""

FRAGMENTS = 64
"""The most frames of one message; empty ones would cost us memory, and the client no bytes."""

PING_SECONDS = 20.0
"""Between an answer to a ping and the next one. Proxies usually drop what is silent for 60 s."""

_CODES = {
    HTTPStatus.REQUEST_URI_TOO_LONG: URL_TOO_LONG.code,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: HEAD_TOO_LARGE.code,
}
"""Those of other requests, where they are not the name of the status."""

_PIECE_BYTES = 1 << 10
"""Parsed at once: the messages in it are held until the application takes them."""

_FLUSH_SECONDS = 1.0


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection, from the opening request on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        send_timeout: float,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called once, when the connection is gone."""
        super().__init__(config, server_state, app_state)
        # Not as the configuration says: neither may be left out. There is no compression, as that
        # takes memory for each connection, and lets a small frame be a large message.
        self.conn = _Endpoint(max_size=MESSAGE_BYTES, logger=_parser_log)
        self.ping_interval = PING_SECONDS
        self.ping_timeout = send_timeout
        self._send_timeout = send_timeout
        self._on_end = on_end
        self._unparsed = bytearray()
        self._lingering: LingeringClose | None = None
        """Set when the client broke the protocol: nothing that comes in is read any more."""

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        self._on_end()
        if self._lingering is not None:
            self._lingering.cancel()
        self._unparsed.clear()
        super().connection_lost(exc)

    # ------------------------------------------------------------------ what comes in

    @override
    def data_received(self, data: bytes) -> None:
        """Take what came: first of all the whole head of the opening request."""
        if self._lingering is not None:
            self._lingering.received(len(data))
            return
        is_head = not self.handshake_initiated
        self._unparsed += data
        self._parse()
        if is_head and not self.handshake_initiated:
            if answer := b"".join(self.conn.data_to_send()):
                self.transport.write(answer)
            else:
                self._refuse(
                    HTTPStatus.BAD_REQUEST, "bad_request", "there is no WebSocket at this path"
                )
            self.transport.close()

    def _parse(self) -> None:
        """Parse piece by piece, as far as the application, and the client by taking our answers,
        keep up. The rest waits, and the client with it.
        """
        while self._unparsed and self._keeps_up:
            piece = bytes(self._unparsed[:_PIECE_BYTES])
            del self._unparsed[:_PIECE_BYTES]
            super().data_received(piece)
        if self._unparsed and not self.transport.is_closing():
            self.transport.pause_reading()

    @property
    def _keeps_up(self) -> bool:
        if self.transport.is_closing():
            return False
        if not self.handshake_initiated:
            return True
        is_open = self.handshake_complete and self._lingering is None
        return is_open and self.writable.is_set() and not self.read_paused

    @override
    async def receive(self) -> Any:
        """The next event for the application; there is room for another message then."""
        message = await super().receive()
        self._parse()
        return message

    @override
    def handle_cont(self, event: Frame) -> None:
        """A further frame of a message."""
        if len(self.frames) >= FRAGMENTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"more than {FRAGMENTS} frames in a message")
        else:
            super().handle_cont(event)

    @override
    def handle_ping(self) -> None:
        """The answer is ready; it goes unless there was a last word already."""
        if self._lingering is None:
            super().handle_ping()

    @override
    def send_receive_event_to_app(self) -> None:
        """A message is whole. uvicorn would log a traceback when it is not text."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self._fail(CloseCode.INVALID_DATA, "the text is not UTF-8")
        else:
            super().send_receive_event_to_app()

    # ------------------------------------------------------------------ what goes out

    @override
    def pause_writing(self) -> None:
        """The client takes too little: it gets no more answers to pings, either."""
        super().pause_writing()
        self.transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        """There is room again."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()
        self._parse()

    @override
    async def send(self, message: Any) -> None:
        """Send when there is room; a reader that takes nothing for too long is cut off.

        Raises OSError when the connection is gone.
        """
        if not self.writable.is_set():
            await self._wait_for_room()
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal; or uvicorn would log that there was none
        self._parse()

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self.writable.wait()
        except TimeoutError:
            logger.info("%r: disconnected, because the client stopped reading", self.scope["path"])
            self.transport.abort()

    @override
    def keepalive_timeout(self) -> None:
        """No answer to a ping; which is no wonder while it lies behind what is not sent yet."""
        if self._has_unsent() and not self.transport.is_closing():
            self.pong_timer = self.loop.call_later(self._send_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.disconnected = True
        self._abort_soon()

    def _has_unsent(self) -> bool:
        """Whether there is output that the peer's system has not taken, which has a limit in time
        of its own (TCP_USER_TIMEOUT).
        """
        if self.transport.get_write_buffer_size():
            return True
        connection = self.transport.get_extra_info("socket")
        waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        (count,) = struct.unpack("i", waiting)
        return bool(count)

    # ------------------------------------------------------------------ the end

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close because of what the client sent."""
        if self._lingering is None:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    @override
    def handle_parser_exception(self) -> None:
        """Tell the client why, and throw away what it still sends: see LingeringClose."""
        told = self.conn.close_sent
        logger.info("%s: WebSocket closed: %s", self.client, told)
        code = CloseCode.ABNORMAL_CLOSURE if told is None else told.code
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.stop_keepalive()
        self.close_sent = self.disconnected = True
        self._unparsed.clear()
        self._lingering = LingeringClose(self.transport, self.loop, BRIEF)
        # uvicorn leaves the connection open while this is set.
        self.close_timer = self.loop.call_later(BRIEF.seconds, self.transport.close)
        self.transport.resume_reading()

    @override
    def shutdown(self) -> None:
        """Say that the server restarts (1012), or that it is about to (503); then end."""
        if self.handshake_complete and self.conn.state is OPEN:
            super().shutdown()
        elif self.handshake_complete or self.initial_response:
            self.stop_keepalive()
            self.transport.close()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "the server is shutting down")
            self.transport.close()
        self._abort_soon()

    @override
    def send_500_response(self) -> None:
        """Answer for an application that did not, when that is still possible."""
        if not (self.initial_response or self.handshake_complete or self.disconnected):
            self._refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal_error",
                "internal error; see the server's log",
            )

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer the opening request without the application."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        self.transport.write(error_answer(status, code, message, new_request_id()))
        self.disconnected = True

    def _abort_soon(self) -> None:
        self.loop.call_later(_FLUSH_SECONDS, self.transport.abort)


class _Endpoint(ServerProtocol):
    """The parser; what it refuses, it refuses in our form."""

    @override
    def reject(self, status: Any, text: str) -> Response:
        """The answer to an opening request that is none, or that the application refused."""
        status = HTTPStatus(status)
        request_id = new_request_id()
        code = _CODES.get(status) or status.phrase.lower().replace(" ", "_")
        message = " ".join(text.split()) or f"{status.phrase}."
        error = {"code": code, "message": message, "request_id": request_id}
        response = super().reject(status, json.dumps({"error": error}))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        response.headers["X-Request-ID"] = request_id
        response.headers.update(_security_headers())
        return response


def _security_headers() -> Headers:
    return Headers([(name.decode(), value.decode()) for name, value in SECURITY_HEADERS])


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
