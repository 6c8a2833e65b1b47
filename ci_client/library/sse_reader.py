"""A job's events, whatever happens to the connection.

Every log event's id is the offset in the log after it, so a reader that was cut off names the
last id it saw and is sent exactly the bytes that it lacks. Only `complete` ends a job's stream, or
204 for a reader that names the id of `complete`: any other end is a drop, and the reader connects
again.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from ci_client.library.retry import (
    CAP_SECONDS,
    PATIENCE_SECONDS,
    TRANSIENT,
    Dropped,
    OnRetry,
    RetryDelays,
    raise_if_transient,
)
from ci_client.library.transport import CONNECT_SECONDS, STREAM_SECONDS, refusal, unexpected

_MAX_GARBAGE = 5


class JobStreamReader:
    """Reads the events of one job, once: `for event in reader.events()`."""

    def __init__(
        self,
        http: httpx.Client,
        job_id: str,
        *,
        from_beginning: bool,
        last_event_id: str | None = None,
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
        silence: float = STREAM_SECONDS,
    ) -> None:
        """Prepare to follow `job_id`; nothing is sent yet.

        `patience` is how many seconds the server may be away before the reader gives up, and
        `silence` how many seconds an open stream may stay without a byte.
        """
        self._http = http
        self._job_id = job_id
        self._from_beginning = from_beginning
        self.last_event_id = last_event_id
        """Names what was handed out, once it is known: the offset in the log, or after the end
        `<offset>:complete`.
        """
        self._retry = RetryDelays(http, patience, on_retry)
        self._timeout = httpx.Timeout(CONNECT_SECONDS, read=silence)
        self._status: str | None = None
        self._garbage = 0
        self._finished = False

    def events(self) -> Iterator[dict[str, Any]]:
        """The events in order, each byte of the log once, up to and with `complete`.

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
            f"/jobs/{self._job_id}/stream",
            params={"from_beginning": "true" if self._from_beginning else "false"},
            headers=self._headers(),
            timeout=self._timeout,
        ) as response:
            if response.status_code == 204:
                self._finished = True  # the last id was that of `complete`
                return
            if response.status_code != 200:
                raise_if_transient(self._http, response)
                raise refusal(self._http, response, self._job_id)
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
                event = self._take(message)
                if event is not None:
                    yield event
                if self._finished:
                    return
        except SSEError as error:
            raise unexpected(self._http, "not an event stream") from error
        raise Dropped("the stream ended before the job did")

    def _take(self, message: ServerSentEvent) -> dict[str, Any] | None:
        """The event to hand out, if this is one, after noting what the reader must know."""
        if message.retry is not None:
            self._retry.base = min(message.retry / 1000, CAP_SECONDS)
        event = self._parse(message.data) if message.data else None
        # Only now: of an event that could not be read, the next connection brings the bytes.
        if message.id:
            self.last_event_id = message.id
        if event is None:
            return None
        self._retry.progress()
        if event["type"] == "status":
            return self._change_of_status(event)
        self._finished = event["type"] == "complete"
        return event

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

    def _change_of_status(self, event: dict[str, Any]) -> dict[str, Any] | None:
        # Every connection begins with the status; after a reconnect it is rarely news.
        if event.get("status") == self._status:
            return None
        self._status = event.get("status")
        return event


def log_bytes(event: dict[str, Any]) -> bytes:
    """The exact bytes of a `log` event of the HTTP API: those of `raw`, or else of `data`."""
    if "raw" in event:
        return base64.b64decode(event["raw"])
    return str(event["data"]).encode()
