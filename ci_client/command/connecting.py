"""A connection to the server that says when it is lost."""

import os
import shlex
import sys
import time
from typing import TypeVar

from ci_client.client import Client
from ci_client.command.display import say
from ci_client.library.config import (
    PROFILE_VARIABLE,
    SERVER_VARIABLE,
    ClientConfig,
    ServerChoice,
)
from ci_client.library.retry import PATIENCE_SECONDS, OnRetry

_Client = TypeVar("_Client", bound=Client)


def connect(server: ServerChoice, patience: float = PATIENCE_SECONDS) -> Client:
    """A connection that says on stderr when it is lost."""
    return connected(Client, server, patience)


def connected(
    kind: type[_Client],
    server: ServerChoice,
    patience: float = PATIENCE_SECONDS,
    on_retry: OnRetry | None = None,
) -> _Client:
    """The same, of a kind of client; or one that calls `on_retry` in place of saying it."""
    client = kind(
        server.server_url,
        api_key=server.api_key,
        profile=server.profile,
        project=server.project,
        patience=patience,
        on_retry=on_retry or RetryNotice(),
    )
    if _is_of_environment(server) and sys.stderr.isatty():
        client.server_option = ""  # what is told here is typed in the same terminal
    return client


def _is_of_environment(server: ServerChoice) -> bool:
    is_named = server.server_url is not None or server.profile is not None
    return not is_named and any(map(os.environ.get, (SERVER_VARIABLE, PROFILE_VARIABLE)))


def tell_of_server(config: ClientConfig) -> None:
    """Say which server it is where that may be another than the user expects."""
    if config.is_projects_choice:
        say(f"Server: {config.server_url} (from this project's {config.server_source})")
    elif config.passed_over is not None:
        say(
            f"Note: using {config.server_url}, because you have no profile for the project's "
            f"server {config.passed_over}. To use that one: ci login --server "
            f"{shlex.quote(config.passed_over)}"
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
