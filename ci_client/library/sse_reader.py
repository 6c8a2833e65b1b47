"""A job's events, whatever happens to the connection.

Every log event's id is the offset in the log after it, so a reader that was cut off is sent exactly
the bytes that it lacks. Only `complete` ends a job's stream, or 204 for a reader that names the id
of `complete`: any other end is a drop, and the reader connects again.
"""

import base64
from typing import Any

import httpx
from typing_extensions import override

from ci_client.errors import ClientError
from ci_client.library.resuming_reader import ResumingReader
from ci_client.library.retry import Dropped
from ci_client.library.transport import refusal


class JobStreamReader(ResumingReader):
    """Reads the events of one job, each byte of the log once, up to and with `complete`.

    `last_event_id` is the offset in the log, or after the end `<offset>:complete`.
    """

    def __init__(
        self,
        http: httpx.Client,
        job_id: str,
        *,
        from_beginning: bool,
        timestamps: bool = False,
        **options: Any,
    ) -> None:
        """`options` are those of ResumingReader."""
        parameters = {"from_beginning": "true" if from_beginning else "false"}
        if timestamps:
            parameters["timestamps"] = "true"
        super().__init__(http, f"/jobs/{job_id}/stream", parameters, **options)
        self._job_id = job_id
        self._status: str | None = None

    @override
    def _take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if event["type"] == "status":
            return self._change_of_status(event)
        self._finished = event["type"] == "complete"
        return event

    @override
    def _end(self) -> None:
        raise Dropped("the stream ended before the job did")

    @override
    def _refusal(self, response: httpx.Response) -> ClientError:
        refused = refusal(self._http, response, self._job_id)
        if "timestamps" in self._parameters:
            from ci_client.library.log_places import without_timestamps

            return without_timestamps(self._http, refused)
        return refused

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
