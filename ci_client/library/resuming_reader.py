"""One stream of Server-Sent Events, whatever happens to the connection.

A reader that was cut off names the id of the last event it saw (`Last-Event-ID`), and is sent
exactly what follows.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from ci_client.errors import ClientError
from ci_client.library.retry import (
    CAP_SECONDS,
    PATIENCE_SECONDS,
    TRANSIENT,
    Dropped,
    OnRetry,
    RetryDelays,
    raise_if_transient,
)
from ci_client.library.transport import CONNECT_SECONDS, STREAM_SECONDS, unexpected

_MAX_GARBAGE = 5
END_OF_ID = ":complete"
"""How the id of the event ends after which there are no more. Only whoever names it is told that
there is nothing to stream (204): for others that would be the end of a job nobody knows the result
of.
"""


class ResumingReader(ABC):
    """Reads one stream, once: `for event in reader.events()`. Each event is a JSON object with a
    `type`.
    """

    def __init__(
        self,
        http: httpx.Client,
        path: str,
        parameters: Mapping[str, Any],
        *,
        last_event_id: str | None = None,
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
        silence: float = STREAM_SECONDS,
    ) -> None:
        """Prepare to read the stream at `path`; nothing is sent yet.

        `patience` is how many seconds the server may be away before the reader gives up, and
        `silence` how many seconds an open stream may stay without a byte.
        """
        self._http = http
        self._path = path
        self._parameters = parameters
        self.last_event_id = last_event_id
        """Names what was handed out, once it is known."""
        self._retry = RetryDelays(http, patience, on_retry)
        self._timeout = httpx.Timeout(CONNECT_SECONDS, read=silence)
        self._garbage = 0
        self._finished = False

    @abstractmethod
    def _take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """The event to hand out, if this is one. Sets `_finished` when it is the last."""

    @abstractmethod
    def _end(self) -> None:
        """The server ended the stream, and it is not finished. Raises Dropped if it should not
        have; otherwise the reader connects again at once.
        """

    @abstractmethod
    def _refusal(self, response: httpx.Response) -> ClientError:
        """What to raise for an answer that is no stream and will not be one soon."""

    def events(self) -> Iterator[dict[str, Any]]:
        """The events in order, each once.

        Raises:
            JobNotFound: the server has no such job.
            RequestRefused: the server refuses to stream it.
            ServerUnreachable: the server stayed away for longer than our patience.
            UnexpectedAnswer: this is no CI server, or something on the way spoils the stream.
        """
        while not self._finished:
            try:
                yield from self._connection()
            except TRANSIENT as error:
                self._retry.wait(error)

    def _connection(self) -> Iterator[dict[str, Any]]:
        with self._http.stream(
            "GET",
            self._path,
            params=self._parameters,
            headers=self._headers(),
            timeout=self._timeout,
        ) as response:
            if response.status_code == 204:
                if not (self.last_event_id or "").endswith(END_OF_ID):
                    raise unexpected(self._http, "no stream")
                self._finished = True
                return
            if response.status_code != 200:
                raise_if_transient(self._http, response)
                raise self._refusal(response)
            response.encoding = "utf-8"
            try:
                yield from self._stream(response)
            finally:
                self._retry.contact()  # it was there until now, if only with heartbeats

    def _headers(self) -> dict[str, str]:
        # A compressing proxy would hold events back until it has enough to compress.
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
        }
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        return headers

    def _stream(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        try:
            for message in EventSource(response).iter_sse():
                event = self._read(message)
                if event is not None:
                    yield event
                if self._finished:
                    return
        except SSEError as error:
            raise unexpected(self._http, "not an event stream") from error
        self._end()

    def _read(self, message: ServerSentEvent) -> dict[str, Any] | None:
        """The event to hand out, if this is one, after noting what the reader must know."""
        if message.retry is not None:
            self._retry.base = min(message.retry / 1000, CAP_SECONDS)
        event = self._parse(message.data) if message.data else None
        # Only now: an event that could not be read comes again with the next connection.
        if message.id:
            self.last_event_id = message.id
        if event is None:
            return None
        self._retry.progress()
        return self._take(event)

    def _parse(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
            if isinstance(event, dict) and isinstance(event["type"], str):
                self._garbage = 0
                return event
        except (ValueError, KeyError):
            pass
        self._garbage += 1
        if self._garbage >= _MAX_GARBAGE:
            raise unexpected(self._http, "events that are not JSON objects")
        raise Dropped("the stream was garbled")
