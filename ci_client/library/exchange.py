"""One request and its answer; asked again when the server is too busy for now."""

import time
from typing import Any

import httpx

from ci_client.errors import ClientError, RequestRefused
from ci_client.library.retry import MAX_RETRY_AFTER_SECONDS, OnRetry
from ci_client.library.transport import address, json_of, refusal, unreachable

_ATTEMPTS = 4
"""Of a question that the server is too busy to answer."""


class Exchange:
    """Sends requests over a connection. Raises RequestRefused and its kin, ServerUnreachable."""

    def __init__(self, http: httpx.Client, on_retry: OnRetry | None) -> None:
        self._http = http
        self._on_retry = on_retry

    @property
    def address(self) -> str:
        """Of the server, as people write it."""
        return address(self._http)

    def ask(self, method: str, path: str, job_id: str | None = None, **options: Any) -> Any:
        """The JSON of the answer. Raises UnexpectedAnswer, too."""
        return json_of(self._http, self.send(method, path, job_id, **options))

    def send(
        self, method: str, path: str, job_id: str | None = None, **options: Any
    ) -> httpx.Response:
        """The answer, when it is a success; only GET is sent more than once."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                response = self._http.request(method, path, **options)
            except httpx.HTTPError as error:
                raise unreachable(self._http, error) from error
            if response.is_success:
                return response
            refused = refusal(self._http, response, job_id)
            if method != "GET" or not left or not self._waited(refused):
                raise refused
        raise AssertionError("unreachable")

    def _waited(self, refused: ClientError) -> bool:
        """Wait as long as the server asks for, if it asks, and for no more than a minute."""
        if not isinstance(refused, RequestRefused) or refused.http_status != 429:
            return False
        seconds = refused.retry_after
        if seconds is None or seconds > MAX_RETRY_AFTER_SECONDS:
            return False
        if self._on_retry is not None:
            self._on_retry(refused.message, seconds)
        time.sleep(seconds)
        return True
