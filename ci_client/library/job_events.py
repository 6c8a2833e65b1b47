"""What happens to all jobs that one may see, whatever happens to the connection."""

import time
from collections.abc import Sequence
from typing import Any

import httpx
from typing_extensions import override

from ci_client.errors import ClientError, UsageError
from ci_client.library.resuming_reader import ResumingReader
from ci_client.library.retry import Dropped
from ci_client.library.transport import address, refusal

_SHORTEST_SECONDS = 10.0


class JobEventsReader(ResumingReader):
    """Reads `GET /events`, without end. The first event, and that after each reconnect, is
    `begin`; those of jobs are `job`; after `gone` the jobs have to be listed again.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        kinds: Sequence[str] = (),
        mine: bool = False,
        stored: bool = False,
        **options: Any,
    ) -> None:
        """`options` are those of ResumingReader."""
        parameters: dict[str, Any] = {"kind": [*kinds]}
        if mine:
            parameters["mine"] = "true"
        if stored:
            parameters["stored"] = "true"
        super().__init__(http, "/events", parameters, **options)

        self._began = time.monotonic()

    @override
    def _take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if event["type"] == "begin":
            self._began = time.monotonic()
        return event

    @override
    def _end(self) -> None:
        # The server ends streams now and then, to check credentials again; not as soon as this.
        if time.monotonic() - self._began < _SHORTEST_SECONDS:
            raise Dropped("the stream ended at once")

    @override
    def _refusal(self, response: httpx.Response) -> ClientError:
        if response.status_code == httpx.codes.NOT_FOUND:
            return UsageError(
                f"The server at {address(self._http)} does not support GET /events. Check the "
                "address, or ask an administrator to upgrade the server."
            )
        return refusal(self._http, response)
