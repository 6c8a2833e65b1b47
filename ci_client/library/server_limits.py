"""What a server takes of a submission: newer ones tell, and older ones know fewer fields."""

from collections.abc import Sequence
from typing import Any

import httpx

from ci_client.errors import RequestRefused, UsageError
from ci_client.library.exchange import Exchange
from ci_client.library.transport import unexpected

_DISPENSABLE = frozenset({"git", "color", "labels"})
"""What is left out where the server does not know it: nothing of a job depends on it."""


class ServerLimits:
    """What one server takes. It is asked once, and only if somebody wants to know."""

    def __init__(self, http: httpx.Client, exchange: Exchange, server_url: str) -> None:
        self._http = http
        self._exchange = exchange
        self._server_url = server_url
        self._told: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """What it says; nothing, where it is too old to tell.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        if self._told is None:
            try:
                told = self._exchange.ask("GET", "/limits")
            except RequestRefused as error:
                if error.http_status not in (404, 405):
                    raise
                told = {}  # an older server
            if not isinstance(told, dict):
                raise unexpected(self._http, "no limits")
            self._told = told
        return self._told

    def check_known(self, fields: Sequence[str]) -> None:
        """Raises UsageError where the server does not know one of these fields of a submission."""
        known = self.told().get("fields", ())
        unknown = [name for name in fields if name not in known]
        if unknown:
            raise UsageError(
                f"The server at {self._server_url} is too old to support {', '.join(unknown)}. "
                "Set this in the project's job configuration instead."
            )

    def leave_out_unknown(self, spec: dict[str, Any]) -> None:
        """Remove from a submission what the server does not know and the job can do without."""
        dispensable = _DISPENSABLE & spec.keys()
        known = self.told().get("fields", ()) if dispensable else ()
        for name in dispensable.difference(known):
            del spec[name]
        if "git" in spec and "labels" not in known:
            del spec["git"]["remote"]  # both came with the same version
