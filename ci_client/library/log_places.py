"""Where the lines of a log are, when they were received, and where a text is in it."""

from collections.abc import Iterator
from typing import Any

import httpx
from typing_extensions import override

from ci_client.errors import ClientError, RequestRefused, UsageError
from ci_client.library.exchange import Exchange
from ci_client.library.resuming_reader import ResumingReader
from ci_client.library.retry import Dropped
from ci_client.library.transport import address, refusal, unexpected

_UNKNOWN = "is not a parameter of this request"


class LogPlaces:
    """Of one job, whose id is whole."""

    def __init__(self, http: httpx.Client, exchange: Exchange, job_id: str) -> None:
        self._http = http
        self._exchange = exchange
        self._job_id = job_id

    def marks(self, **asked: Any) -> dict[str, Any]:
        """A page of marks, see `GET /jobs/{id}/logs/marks`.

        Raises:
            UsageError: the server is too old.
            JobNotFound, RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        page = self._ask("marks", asked)
        if not isinstance(page, dict) or not isinstance(page.get("marks"), list):
            raise unexpected(self._http, "no marks of a log")
        return page

    def position(self, **asked: Any) -> dict[str, Any]:
        """The place of a byte or a line, see `GET /jobs/{id}/logs/position`. Raises what `marks`
        raises.
        """
        place = self._ask("position", asked)
        if not isinstance(place, dict) or not isinstance(place.get("line_offset"), int):
            raise unexpected(self._http, "no place in a log")
        return place

    def _ask(self, what: str, asked: dict[str, Any]) -> Any:
        given = {name: value for name, value in asked.items() if value is not None}
        path = f"/jobs/{self._job_id}/logs/{what}"
        try:
            return self._exchange.ask("GET", path, self._job_id, params=given)
        except RequestRefused as error:
            if error.code == "not_found":
                raise too_old(self._http, "show time stamps and line numbers of logs") from error
            raise


class LogSearchReader(ResumingReader):
    """The events of one search: `hit` events, now and then `progress`, and last `end`."""

    def __init__(
        self, http: httpx.Client, job_id: str, parameters: dict[str, Any], **options: Any
    ) -> None:
        """`options` are those of ResumingReader."""
        super().__init__(http, f"/jobs/{job_id}/logs/search", parameters, **options)
        self._job_id = job_id

    @override
    def _take(self, event: dict[str, Any]) -> dict[str, Any] | None:
        self._finished = event["type"] == "end"
        return event

    @override
    def _end(self) -> None:
        raise Dropped("the stream ended before the search did")

    @override
    def _refusal(self, response: httpx.Response) -> ClientError:
        refused = refusal(self._http, response, self._job_id)
        if response.status_code == httpx.codes.NOT_FOUND and _is_no_route(refused):
            return too_old(self._http, "search in logs")
        return refused


def search(
    http: httpx.Client, job_id: str, parameters: dict[str, Any], **options: Any
) -> Iterator[dict[str, Any]]:
    """All hits, however many there are, and `end`, with the number of them. Options are those of
    ResumingReader.
    """
    hits = 0
    while True:
        end: dict[str, Any] = {}
        for event in LogSearchReader(http, job_id, parameters, **options).events():
            if event["type"] == "hit":
                hits += 1
                yield event
            elif event["type"] == "end":
                end = event
        if not end.get("truncated"):
            yield {**end, "hits": hits}
            return
        parameters = {**parameters, "offset": end["offset"]}


def without_timestamps(http: httpx.Client, error: ClientError) -> ClientError:
    """The error that a refused stream with time stamps stands for."""
    is_unknown = isinstance(error, RequestRefused) and error.code == "invalid_request"
    if is_unknown and f"timestamps: {_UNKNOWN}" in error.message:
        return too_old(http, "show time stamps of logs")
    return error


def too_old(http: httpx.Client, what: str) -> UsageError:
    """The error of a server that cannot do this yet."""
    return UsageError(
        f"The server at {address(http)} is too old to {what}. Ask an administrator to upgrade it."
    )


def _is_no_route(error: ClientError) -> bool:
    return isinstance(error, RequestRefused) and error.code == "not_found"
