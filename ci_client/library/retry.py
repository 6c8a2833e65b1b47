"""How long to wait before the next attempt, and when to give up."""

import random
import time
from collections.abc import Callable

import httpx

from ci_client.errors import ClientError
from ci_client.library.transport import describe, refusal, retry_after, unreachable

BASE_SECONDS = 0.25
CAP_SECONDS = 5.0
PATIENCE_SECONDS = 300.0
MAX_RETRY_AFTER_SECONDS = 60.0

OnRetry = Callable[[str, float], None]
"""Told why an attempt failed, and in how many seconds the next one follows."""


class Dropped(Exception):
    """The server was there, or will be again: try again."""

    def __init__(
        self, why: str, retry_after: float = 0.0, refused: ClientError | None = None
    ) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        """The least number of seconds the server wants to be left alone."""
        self.refused = refused
        """What to raise when it does so for longer than our patience."""


TRANSIENT = (Dropped, httpx.TransportError, httpx.DecodingError)
"""What a new attempt may mend."""


class RetryDelays:
    """Exponential backoff with full jitter, until the server was silent for too long."""

    def __init__(
        self,
        http: httpx.Client,
        patience: float = PATIENCE_SECONDS,
        on_retry: OnRetry | None = None,
    ) -> None:
        self._http = http
        self._patience = patience
        self._on_retry = on_retry
        self._last_contact = time.monotonic()
        self._attempt = 0
        self.base = BASE_SECONDS
        """Seconds; the server may ask for others."""

    def contact(self) -> None:
        """The server answered, or was still connected until now."""
        self._last_contact = time.monotonic()

    def progress(self) -> None:
        """Something of use arrived, so the next failure is a new one."""
        self._attempt = 0

    def wait(self, error: Exception) -> None:
        """Sleep before the next attempt.

        Raises:
            ServerUnreachable: the server has been silent for longer than our patience.
            RequestRefused: it has not been silent, but too busy for us.
        """
        left = self._last_contact + self._patience - time.monotonic()
        if left <= 0:
            if isinstance(error, Dropped) and error.refused is not None:
                raise error.refused from error
            raise unreachable(self._http, error) from error
        ceiling = min(CAP_SECONDS, self.base * 2 ** min(self._attempt, 16))
        delay = random.uniform(0, ceiling)  # noqa: S311 (jitter, not a secret)
        if isinstance(error, Dropped):
            delay = max(delay, min(error.retry_after, MAX_RETRY_AFTER_SECONDS))
        delay = min(delay, left)
        self._attempt += 1
        if self._on_retry is not None:
            self._on_retry(describe(error), delay)
        time.sleep(delay)


def raise_if_transient(http: httpx.Client, response: httpx.Response) -> None:
    """Raise `Dropped` for an answer that may be another one soon: 429, and any 5xx."""
    status = response.status_code
    if status == 429:
        refused = refusal(http, response)
        raise Dropped(str(refused), retry_after(response) or 0.0, refused)
    if status >= 500:
        raise Dropped(f"status {status}", retry_after(response) or 0.0)
