"""A container's output as bytes: the engine's multiplexed frames, parsed in bulk."""

import contextlib
import socket
from collections.abc import Iterator

import docker
import requests
from docker.errors import create_api_error_from_http_exception
from docker.types import CancellableStream
from urllib3.exceptions import HTTPError

from ci_common.errors import EngineUnavailableError

_READ_BYTES = 1 << 18
_HEADER_BYTES = 8


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
    """The live output of a container, connected before it started (port Output)."""

    def __init__(self, client: docker.APIClient, container: str) -> None:
        self._stream = client.attach_socket(
            container, params={"stdout": 1, "stderr": 1, "stream": 1}
        )
        self._socket: socket.socket = getattr(self._stream, "_sock", self._stream)
        self._socket.settimeout(None)
        self._frames = FrameDecoder()
        self._closed = False

    def read(self) -> bytes:
        """See Output."""
        try:
            while content := self._socket.recv(_READ_BYTES):
                if payload := self._frames.feed(content):
                    return payload
        except OSError as error:
            if not self._closed:
                raise EngineUnavailableError(
                    f"the container engine broke off in the middle of an output ({error})"
                ) from error
        return b""

    def close(self) -> None:
        """See Output."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # The socket belongs to the response, which docker-py keeps alive by this reference.
        with contextlib.suppress(OSError):
            getattr(self._stream, "_response", self._stream).close()


class StoredOutput:
    """The engine's own copy of the output from its beginning, and on while the container runs
    (port Output). `skip` bytes are left out: the `since` of the engine is not exact.

    When the container exits while the engine is behind with reading, Docker 20.10 ends the
    response in order and leaves out the rest. Only one that was asked for after the exit is whole.
    """

    def __init__(self, client: docker.APIClient, container: str, skip: int) -> None:
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
        self._skip = skip
        self._closed = False

    def _payloads(self, response: requests.Response) -> Iterator[bytes]:
        frames = FrameDecoder()
        for content in response.raw.stream(_READ_BYTES, decode_content=False):
            if payload := frames.feed(content):
                yield payload

    def read(self) -> bytes:
        """See Output. Raises EngineUnavailableError when the connection breaks: what was read
        is not all there is.
        """
        try:
            for payload in self._payload:
                if self._skip < len(payload):
                    rest, self._skip = payload[self._skip :], 0
                    return rest
                self._skip -= len(payload)
        except (OSError, HTTPError, requests.RequestException, ValueError) as error:
            if not self._closed:
                raise EngineUnavailableError(
                    f"the container engine broke off in the middle of a log ({error})"
                ) from error
        return b""

    def close(self) -> None:
        """See Output."""
        self._closed = True
        with contextlib.suppress(OSError, AttributeError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._response.close()  # or its descriptor stays until it is forgotten
