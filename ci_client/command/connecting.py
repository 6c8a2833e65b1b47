"""A connection to the server that says when it is lost."""

import time

from ci_client.client import Client
from ci_client.command.display import say
from ci_client.library.config import ServerChoice
from ci_client.library.retry import PATIENCE_SECONDS


def connect(server: ServerChoice, patience: float = PATIENCE_SECONDS) -> Client:
    """A connection that says on stderr when it is lost."""
    return Client(
        server.server_url, api_key=server.api_key, patience=patience, on_retry=RetryNotice()
    )


class RetryNotice:
    """Says that the connection is lost: once per outage, and not for a hiccup."""

    _HICCUP_SECONDS = 2.0
    _OUTAGE_APART_SECONDS = 20.0

    def __init__(self) -> None:
        self._first = self._last = float("-inf")
        self._said = False

    def __call__(self, why: str, delay: float) -> None:
        """An attempt failed because of `why`, and the next one follows in `delay` seconds."""
        now = time.monotonic()
        if now - self._last > self._OUTAGE_APART_SECONDS:
            self._first, self._said = now, False
        self._last = now
        if not self._said and now + delay - self._first > self._HICCUP_SECONDS:
            self._said = True
            say(f"Connection lost ({why}). Reconnecting; the log continues where it stopped.")
