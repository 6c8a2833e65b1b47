"""HTTP connections with bounds, for `python -m ci_server`.

uvicorn bounds neither the size nor the time of a request's head, nor the time of its body, nor
the number of connections; a proxy before it would. Here whoever connects has a bounded time for
a head of a bounded size, has to send a body at a pace, and has to take what is sent to it.
"""

import asyncio
import json
import logging
import socket
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ci_common.settings import Settings
from ci_server.auth.addresses import TrustedProxies
from ci_server.connection_limits import ConnectionGuard, raise_descriptor_limit
from ci_server.request_id import REQUEST_ID_HEADER, new_request_id
from ci_server.request_pace import BYTES_PER_SECOND
from ci_server.security_headers import SECURITY_HEADERS

logger = logging.getLogger(__name__)

HEAD_BYTES = 64 << 10
"""All names and values of a request's headers; also what lies between two pieces of a body."""

URL_BYTES = 16 << 10
PIPELINED_REQUESTS = 16
"""Requests that wait for the answer to an earlier one of their connection."""

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
    settings = Settings()
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
        self._bounds = _bounds()
        self._guard = _guard_of(server_state, self._bounds)
        self._is_counted = False
        self._answering: RequestResponseCycle | None = None
        """Of the requests of this connection, the one whose answer is next, or under way."""
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[HTTPStatus, str, str] | None = None
        self._in_head = False
        self._head_since: float | None = None
        """When we began to wait for the end of a head; `None` when we do not."""
        self._head_size = 0
        self._in_body = False
        self._window_at = 0.0
        self._window_bytes = 0
        self._lingering_since: float | None = None
        """When the answer was complete although the body was not."""
        self._barren_bytes = 0
        """Received since the last piece of a body, or the start of the head."""
        self._bore_fruit = False

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and start its clock."""
        super().connection_made(transport)
        refusal = self._guard.take(self._address)
        if refusal is not None:
            self._refuse(refusal.status, "too_many_connections", refusal.message)
            return
        self._is_counted = True
        _bound_stalls(transport, self._bounds.send_timeout)
        self._head_since = self.loop.time()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        self._forget()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the protocol that takes it over."""
        self._forget()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """End when the answer under way has; a reader that does not take its end is cut off."""
        super().shutdown()
        if self.transport.is_closing():
            self._abort_soon()

    def _forget(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._guard.release(self._address)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    # ------------------------------------------------------------------ what comes in

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what brings the request no further."""
        self._bore_fruit = False
        if self._head_since is None and self._is_idle:
            self._head_since = self.loop.time()
        super().data_received(data)
        if self._bore_fruit or not (self._in_head or self._in_body):
            self._barren_bytes = 0
            return
        self._barren_bytes += len(data)
        if self._barren_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(*_HEAD_TOO_LARGE)

    @property
    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._in_head and not self._in_body

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = self._bore_fruit = True
        self._head_size = 0
        if self._head_since is None:
            self._head_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._stop(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                "url_too_long",
                f"the address is longer than {URL_BYTES} bytes",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after a body (trailers) are of no use here, and dropped."""
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_BYTES:
            self._stop(*_HEAD_TOO_LARGE)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the body, if there is one, has to come at a pace."""
        self._in_head = False
        self._head_since = self._lingering_since = None
        self._in_body = True
        self._head_size = 0
        self._restart_window()
        if len(self.pipeline) >= PIPELINED_REQUESTS:
            self._stop(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_requests",
                f"more than {PIPELINED_REQUESTS} requests wait for an answer on this connection",
            )
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bore_fruit = True
        self._window_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        self._lingering_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Answered. What is left of the body is read for a while, so that the answer arrives."""
        super().on_response_complete()
        if self._in_body:
            self._lingering_since = self.loop.time()

    # ------------------------------------------------------------------ the clock

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self._bounds.request_timeout / _LOOKS, self._look)

    def _look(self) -> None:
        """Whether we waited long enough."""
        if self.transport.is_closing():
            return
        self._look_later()
        now, patience = self.loop.time(), self._bounds.request_timeout
        waits_for_us = self._in_body and self.cycle.waiting_for_100_continue
        if self.flow.read_paused or waits_for_us:
            self._restart_window()
            self._head_since = now if self._head_since is not None else None
        elif self._head_since is not None and now - self._head_since >= patience:
            self._end_silence()
        elif self._lingering_since is not None and now - self._lingering_since >= patience:
            self.transport.abort()
        elif self._in_body and now - self._window_at >= patience:
            if self._window_bytes < BYTES_PER_SECOND * patience:
                self._refuse(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "request_timeout",
                    f"less than {BYTES_PER_SECOND} bytes a second of the body arrived",
                )
            self._restart_window()

    def _end_silence(self) -> None:
        if not self._in_head:
            self.transport.abort()  # nothing was asked, so nobody waits for an answer
            return
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT,
            "request_timeout",
            f"the head of the request was not whole after {self._bounds.request_timeout:g} s",
        )

    def _restart_window(self) -> None:
        self._window_at = self.loop.time()
        self._window_bytes = 0

    # ------------------------------------------------------------------ refusals

    def _stop(self, status: HTTPStatus, code: str, message: str) -> None:
        """Refuse from within the parser, which calls `send_400_response` then."""
        self._refusal = (status, code, message)
        raise _RefusedError

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser did not take."""
        self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, "bad_request", msg)))

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say no and close; without a word when another answer is under way."""
        answering = self._answering
        if answering and answering.response_started and not answering.response_complete:
            self.transport.abort()
            return
        request_id = new_request_id()
        logger.info("%s: %s (%s)", self._address, message, code, extra={"request_id": request_id})
        self.transport.write(_answer(status, code, message, request_id))
        self.transport.close()
        self._abort_soon()
        for cycle in filter(None, (answering, self.cycle)):
            cycle.disconnected = True  # the application is not to answer as well
            cycle.message_event.set()

    def _abort_soon(self) -> None:
        self.loop.call_later(_FLUSH_SECONDS, self.transport.abort)


_HEAD_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    f"the headers are larger than {HEAD_BYTES} bytes",
)


def _answer(status: HTTPStatus, code: str, message: str, request_id: str) -> bytes:
    error = {"code": code, "message": message, "request_id": request_id}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (REQUEST_ID_HEADER, request_id.encode()),
        *SECURITY_HEADERS,
    ]
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers.append((b"retry-after", b"5"))
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, status.phrase.encode(), head, body)


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
