"""HTTP connections with bounds, for `python -m ci_server`.

uvicorn bounds neither the size nor the time of a request's head, nor the time of its body, nor
the number of connections; a proxy before it would. Here whoever connects has a bounded time for
a head of a bounded size, has to send a body at a pace, and has to take what is sent to it.
"""

import asyncio
import logging
import socket
from collections import deque
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ci_common.settings import ConnectionSettings
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.limits.address import limited_as
from ci_server.connections import uvicorn_shape
from ci_server.connections.limits import ConnectionGuard, raise_descriptor_limit
from ci_server.connections.lingering_close import BRIEF, UPLOAD, LingerBounds, LingeringClose
from ci_server.connections.raw_answers import error_answer
from ci_server.connections.request_head import (
    HEAD_BYTES,
    HEAD_TOO_LARGE,
    Refusal,
    has_body,
    problem_of_head,
)
from ci_server.connections.reserve import ConnectionRefusal, ReservedConnection
from ci_server.connections.websocket import BoundedWebSocketProtocol
from ci_server.submission.body_rate import BYTES_PER_SECOND
from ci_server.telemetry.request_id import new_request_id

uvicorn_shape.check()

logger = logging.getLogger(__name__)

PIPELINED_REQUESTS = 16
"""Requests that wait for the answer to an earlier one of their connection."""

TOO_MANY_PIPELINED = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_requests",
    f"more than {PIPELINED_REQUESTS} requests are pending on this connection",
)
BUSY_UPGRADE = Refusal(
    HTTPStatus.BAD_REQUEST,
    "bad_request",
    "a WebSocket request must not have a body, nor be sent before the responses to earlier "
    "requests",
)
BODY_TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "request_timeout",
    f"less than {BYTES_PER_SECOND} bytes a second of the body arrived",
)

_LOOKS = 4
"""Looks at a connection in each time-out: so much later, in parts of it, it may be noticed."""

_FLUSH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """The settings of connections, times in seconds."""

    request_timeout: float
    send_timeout: float
    most: int
    most_per_address: int
    proxies: TrustedProxies


@cache
def _bounds() -> HttpBounds:
    settings = ConnectionSettings()
    return HttpBounds(
        settings.request_timeout_seconds,
        settings.send_timeout_seconds,
        settings.max_connections,
        settings.max_connections_per_address,
        TrustedProxies.parse(settings.trusted_proxies),
    )


_guards: WeakKeyDictionary[ServerState, ConnectionGuard] = WeakKeyDictionary()


def _guard_of(state: ServerState, bounds: HttpBounds) -> ConnectionGuard:
    """The one of the server that this connection belongs to."""
    if state not in _guards:
        descriptors = raise_descriptor_limit()
        _guards[state] = ConnectionGuard(
            bounds.most, bounds.most_per_address, descriptors, bounds.proxies
        )
    return _guards[state]


class _RefusedError(Exception):
    """Stops the parser; `_refusal` says why."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Clocks run only while we wait for the client: not while reading is paused because the
    application is behind, nor before it asked for a body that waits for `100 Continue`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # What takes the connection over has to bound it, too, however uvicorn is configured.
        self.ws_protocol_class = self._hand_over  # type: ignore[assignment]
        self._bounds = _bounds()
        self._guard = _guard_of(server_state, self._bounds)
        self._is_counted = False
        self._reserved: ReservedConnection | None = None
        """Set when the connection came while all connections were taken."""
        self._lingering: LingeringClose | None = None
        """Set when it was refused: nothing that comes in is read any more."""
        self._cycles: deque[RequestResponseCycle] = deque()
        """The requests that have not been answered, in their order."""
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: Refusal | None = None
        self._in_head = False
        self._head_since: float | None = None
        """When we began to wait for the end of a head; `None` when we do not."""
        self._head_size = 0
        self._in_body = False
        self._window_at = 0.0
        self._window_bytes = 0
        self._unread_body_since: float | None = None
        """When the answer was complete although the body was not."""
        self._barren_bytes = 0
        """Received since the last piece of a body, or the start of the head."""
        self._bore_fruit = False

    # ------------------------------------------------------------------ the connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and start its clock."""
        super().connection_made(transport)
        _bound_stalls(transport, self._bounds.send_timeout)
        refusal = self._guard.take(self._address)
        if refusal is None:
            self._count()
        else:
            self._reserve(refusal)

    def _count(self) -> None:
        self._is_counted = True
        self._head_since = self.loop.time()
        self._look_later()

    def _reserve(self, refusal: ConnectionRefusal) -> None:
        reserved = ReservedConnection(
            limited_as(self._address or ""),
            refusal,
            loop=self.loop,
            try_admit=self._try_admit,
            refuse=self._turn_away,
            abort=self.transport.abort,
        )
        if self._guard.reserve.enter(reserved):
            self._reserved = reserved
        else:
            reserved.evict()

    def _try_admit(self) -> bool:
        """Make an ordinary connection of one of the reserve, if there is a place by now."""
        if self._guard.take(self._address) is not None:
            return False
        self._leave_reserve()
        self._count()
        return True

    def _leave_reserve(self) -> None:
        if self._reserved is not None:
            self._guard.reserve.leave(self._reserved)
            self._reserved = None

    def _hand_over(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> BoundedWebSocketProtocol:
        """Make what serves the connection from now on, as a WebSocket, and gives its place back."""
        self._is_counted = False
        if self._timer is not None:
            self._timer.cancel()
        give_back = partial(self._guard.release, self._address)
        timeout = self._bounds.send_timeout
        return BoundedWebSocketProtocol(config, server_state, app_state, timeout, give_back)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        if self._is_counted:
            self._is_counted = False
            self._guard.release(self._address)
        self._leave_reserve()
        for ends in (self._timer, self._lingering):
            if ends is not None:
                ends.cancel()
        super().connection_lost(exc)

    @override
    def shutdown(self) -> None:
        """End when the answer under way has; a reader that does not take its end is cut off."""
        super().shutdown()
        if self._lingering is not None or self.transport.is_closing():
            self._abort_soon()

    @property
    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    # ------------------------------------------------------------------ what comes in

    @override
    def data_received(self, data: bytes) -> None:
        """Parse, and bound what brings the request no further."""
        if self._lingering is not None:
            self._lingering.received(len(data))
            return
        if self._reserved is not None:
            data = self._reserved.feed(data)
            if not data:
                return
        self._bore_fruit = False
        if self._head_since is None and self._is_idle:
            self._head_since = self.loop.time()
        super().data_received(data)
        if self._bore_fruit or not (self._in_head or self._in_body):
            self._barren_bytes = 0
            return
        self._barren_bytes += len(data)
        if self._barren_bytes > HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)

    @property
    def _is_idle(self) -> bool:
        return not (self._cycles or self._in_head or self._in_body)

    @override
    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = self._bore_fruit = True
        self._head_size = 0
        if self._head_since is None:
            self._head_since = self.loop.time()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after a body (trailers) are of no use here, and dropped."""
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_BYTES:
            self._stop(HEAD_TOO_LARGE)
        if self._in_head:
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        """The head is whole: the body, if there is one, has to come at a pace."""
        if problem := problem_of_head(self.url, self.headers):
            self._stop(problem)
        if len(self._cycles) > PIPELINED_REQUESTS:
            self._stop(TOO_MANY_PIPELINED)
        self._in_head = False
        self._head_size = 0
        self._head_since = self._unread_body_since = None
        if self.parser.should_upgrade() and self._should_upgrade():
            if self._cycles or has_body(self.headers):
                self._stop(BUSY_UPGRADE)
            super().on_headers_complete()
            return
        self._in_body = True
        self._restart_window()
        super().on_headers_complete()
        self._cycles.append(self.cycle)

    @override
    def _should_upgrade(self) -> bool:
        """Whether a WebSocket is asked for. Those of the reserve get one answer, and no more."""
        return self._reserved is None and super()._should_upgrade()

    @override
    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bore_fruit = True
        self._window_bytes += len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._unread_body_since = None
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        """Answered. What is left of the body is read for a while, so that the answer arrives."""
        self._cycles.popleft()
        super().on_response_complete()
        if self._in_body:
            self._unread_body_since = self.loop.time()

    # ------------------------------------------------------------------ the clock

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self._bounds.request_timeout / _LOOKS, self._look)

    def _look(self) -> None:
        """Whether we waited long enough."""
        if self._lingering is not None or self.transport.is_closing():
            return
        self._look_later()
        now, patience = self.loop.time(), self._bounds.request_timeout
        waits_for_us = self._in_body and self.cycle.waiting_for_100_continue
        if self.flow.read_paused or waits_for_us:
            self._restart_window()
            self._head_since = now if self._head_since is not None else None
        elif self._head_since is not None and now - self._head_since >= patience:
            self._end_silence(patience)
        elif self._unread_body_since is not None and now - self._unread_body_since >= patience:
            self.transport.abort()
        elif self._in_body and now - self._window_at >= patience:
            if self._window_bytes < BYTES_PER_SECOND * patience:
                self._refuse(BODY_TOO_SLOW)
            self._restart_window()

    def _end_silence(self, patience: float) -> None:
        if self._in_head:
            message = f"the headers of the request were not complete after {patience:g} s"
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", message))
        else:
            self.transport.abort()  # nothing was asked, so nobody waits for an answer

    def _restart_window(self) -> None:
        self._window_at = self.loop.time()
        self._window_bytes = 0

    # ------------------------------------------------------------------ refusals

    def _stop(self, refusal: Refusal) -> None:
        """Refuse from within the parser, which calls `send_400_response` then."""
        self._refusal = refusal
        raise _RefusedError

    @override
    def send_400_response(self, msg: str) -> None:
        """Answer what the parser did not take."""
        self._refuse(self._refusal or Refusal(HTTPStatus.BAD_REQUEST, "bad_request", msg))

    def _turn_away(self, refusal: ConnectionRefusal, with_body: bool, may_linger: bool) -> None:
        """Refuse a connection of the reserve."""
        # At DEBUG: there may be very many, and ConnectionGuard has logged that there are some.
        refused = Refusal(refusal.status, "too_many_connections", refusal.message)
        self._say(refused, logging.DEBUG, with_body=with_body)
        if may_linger:
            self._linger(UPLOAD)
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Say no and close; without a word when another answer is under way."""
        if self._lingering is not None or self.transport.is_closing():
            return  # it was answered, and what comes after that is nothing
        for cycle in self._cycles:
            if cycle.response_started:
                self.transport.abort()
                return
            cycle.disconnected = True  # the application is not to answer as well
            cycle.message_event.set()
        self._say(refusal)
        self._linger(BRIEF)

    def _say(self, refusal: Refusal, level: int = logging.INFO, *, with_body: bool = True) -> None:
        status, code, message = refusal
        request_id = new_request_id()
        about = {"request_id": request_id}
        logger.log(level, "%s: %s (%s)", self._address, message, code, extra=about)
        self.transport.write(error_answer(status, code, message, request_id, with_body=with_body))

    def _linger(self, bounds: LingerBounds) -> None:
        self.flow.resume_reading()
        self._lingering = LingeringClose(self.transport, self.loop, bounds)

    def _abort_soon(self) -> None:
        self.loop.call_later(_FLUSH_SECONDS, self.transport.abort)


def _bound_stalls(transport: asyncio.Transport, seconds: float) -> None:
    """Have the kernel end the connection when its reader takes nothing for so long: also after
    the answer was given, when nobody else looks at it any more (tcp(7), TCP_USER_TIMEOUT).
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # uvloop's own object cannot set options.
    own = socket.socket(fileno=connection.fileno())
    try:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
    finally:
        own.detach()
