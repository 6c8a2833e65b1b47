"""A container's output as bytes: the engine's multiplexed frames, parsed in bulk."""

import contextlib
import http
import io
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import docker
import requests
from docker.errors import NotFound, create_api_error_from_http_exception
from docker.types import CancellableStream
from typing_extensions import override
from urllib3.exceptions import HTTPError

from ci_common.errors import EngineUnavailableError, WorkloadLostError
from ci_common.ports.workloads import Output, OutputEnd
from ci_controller.executors.docker.engine import DockerEngine, translated

_READ_BYTES = 1 << 18
_HEADER_BYTES = 8

_ATTACHED = frozenset({http.HTTPStatus.OK, http.HTTPStatus.SWITCHING_PROTOCOLS})


class FrameDecoder:
    """Takes the 8-byte headers (stream, 3 zeros, big-endian length) out of a byte stream.

    Format: the Docker Engine API, "Attach to a container", stream format.
    """

    def __init__(self) -> None:
        self._header = b""
        self._left_in_frame = 0

    def feed(self, content: bytes) -> bytes:
        """The payload in the next bytes of the stream, however they were cut."""
        pieces: list[bytes | memoryview] = []
        view = memoryview(content)
        while view:
            if self._left_in_frame:
                piece = view[: self._left_in_frame]
                self._left_in_frame -= len(piece)
                view = view[len(piece) :]
                pieces.append(piece)
                continue
            missing = _HEADER_BYTES - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == _HEADER_BYTES:
                self._left_in_frame = int.from_bytes(self._header[4:], "big")
                self._header = b""
        return b"".join(pieces)


class AttachedOutput:
    """What a container writes to its stdout from now on."""

    def __init__(
        self, client: docker.APIClient, container: str, timeout_seconds: float = 60.0
    ) -> None:
        """Raises requests.Timeout when the engine does not let anybody attach for so long:
        docker-py would wait for ever.
        """
        self._response = client.post(
            f"{client.base_url}/v{client.api_version}/containers/{container}/attach",
            params={"stdout": 1, "stderr": 1, "stream": 1},
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
            stream=True,
            timeout=timeout_seconds,
        )
        if self._response.status_code not in _ATTACHED:
            with self._response:
                create_api_error_from_http_exception(requests.HTTPError(response=self._response))
        raw: Any = self._response.raw
        buffer = raw._fp.fp
        self._socket: socket.socket = buffer.raw._sock
        self._early = _read_with_head(buffer, self._socket)
        self._socket.settimeout(None)
        self._frames = FrameDecoder()
        self._closed = False

    def set_timeout(self, seconds: float) -> None:
        """For so long `read` waits; then it raises TimeoutError, and may be called again."""
        self._socket.settimeout(seconds)

    def read(self) -> bytes:
        """The next bytes; empty at the end. Raises EngineUnavailableError, and TimeoutError."""
        early, self._early = self._early, b""
        if payload := self._frames.feed(early):
            return payload
        try:
            while content := self._socket.recv(_READ_BYTES):
                if payload := self._frames.feed(content):
                    return payload
        except TimeoutError:
            raise
        except OSError as error:
            if not self._closed:
                raise EngineUnavailableError(
                    "the container engine closed the connection in the middle of the output "
                    f"({error})"
                ) from error
        return b""

    def close(self) -> None:
        """Make a blocked `read` return, and free the connection; safe to repeat; any thread."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._response.close()


def _read_with_head(buffer: io.BufferedReader, connection: socket.socket) -> bytes:
    """What came in one packet with the head of the answer, of a container that runs already: it is
    in the buffer of http.client, and would be missing from what the socket has.
    """
    connection.setblocking(False)
    try:
        return bytes(buffer.peek(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""


class LegacyOutput(Output):
    """The output of a container that the version before started, from the engine's own copy (port
    Output). That copy has the replacement character in place of bytes that are no UTF-8, and cuts
    long lines, perhaps in a character: so its offsets may not be those of what is stored.
    """

    _WHY = (
        "the job was started by an earlier version of the server; since its restart, the log is "
        "read from the container engine's copy, in which bytes may be replaced or duplicated"
    )
    _REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
    _LONG_BYTES = 16 << 10

    def __init__(self, engine: DockerEngine, container_id: str, position: int) -> None:
        self._engine = engine
        self._container = container_id
        self._skip = position
        self._position = position
        self._client: docker.APIClient | None = None
        self._stored: StoredOutput | None = None
        self._after_exit = False
        self._is_doubtful = False
        self._end: OutputEnd | None = None
        self._closed = False

    @property
    @override
    def end(self) -> OutputEnd | None:
        return self._end

    @override
    def read(self) -> bytes:
        while not self._closed and self._end is None:
            if self._stored is None:
                self._connect()
            elif piece := self._stored.read():
                if rest := self._skipped(piece):
                    self._position += len(rest)
                    return rest
            elif self._after_exit:
                lost, why = (None, self._WHY) if self._is_doubtful else (0, "")
                self._end = OutputEnd(self._position, lost, why)
            else:
                # Docker 20.10 ends a followed log in order when the container exits, and leaves
                # out the rest. Only one that was asked for after the exit is whole.
                self._disconnect()
        return b""

    @override
    def stored(self, offset: int) -> None:
        """Nothing: the engine keeps it all."""

    @override
    def close(self) -> None:
        self._closed = True
        self._disconnect()
        if self._client is not None:
            self._client.close()

    def _connect(self) -> None:
        with translated():
            if self._client is None:
                self._client = self._engine.new_client()
            try:
                facts: dict[str, Any] = self._client.inspect_container(self._container)
            except NotFound as error:
                raise WorkloadLostError from error
            self._after_exit = facts["State"]["Status"] in ("exited", "dead")
            self._stored = StoredOutput(self._client, self._container)
            self._skip = self._position

    def _disconnect(self) -> None:
        stored, self._stored = self._stored, None
        if stored is not None:
            stored.close()

    def _skipped(self, piece: bytes) -> bytes:
        if self._REPLACEMENT in piece or len(piece.split(b"\n", 1)[0]) >= self._LONG_BYTES:
            self._is_doubtful = True
        rest = piece[self._skip :]
        self._skip -= len(piece) - len(rest)
        return rest


class StoredOutput:
    """The engine's own copy of the output from its beginning, and on while the container runs."""

    def __init__(self, client: docker.APIClient, container: str) -> None:
        url = f"{client.base_url}/v{client.api_version}/containers/{container}/logs"
        response = client.get(
            url,
            params={"stdout": 1, "stderr": 1, "follow": 1},
            stream=True,
            timeout=(60, None),
        )
        if response.status_code != requests.codes.ok:
            with response:
                create_api_error_from_http_exception(requests.HTTPError(response=response))
        self._response = response
        self._payload = self._payloads(response)
        # For its way to interrupt a read only: it takes a connection that broke for an end.
        self._stream = CancellableStream(self._payload, response)
        self._closed = False

    def _payloads(self, response: requests.Response) -> Iterator[bytes]:
        frames = FrameDecoder()
        for content in response.raw.stream(_READ_BYTES, decode_content=False):
            if payload := frames.feed(content):
                yield payload

    def read(self) -> bytes:
        """The next bytes; empty at the end. Raises EngineUnavailableError when the connection
        breaks: what was read is not all there is.
        """
        try:
            for payload in self._payload:
                return payload
        except (OSError, HTTPError, requests.RequestException, ValueError) as error:
            if not self._closed:
                raise EngineUnavailableError(
                    f"the container engine closed the connection in the middle of a log ({error})"
                ) from error
        return b""

    def close(self) -> None:
        """Make a blocked `read` return, and free the connection; safe to repeat."""
        self._closed = True
        with contextlib.suppress(OSError, AttributeError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._response.close()  # or its descriptor stays until it is forgotten
