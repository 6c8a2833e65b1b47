"""What a server says of itself."""

from typing import Any

import httpx

from ci_client.errors import RequestRefused
from ci_client.library.exchange import Exchange
from ci_client.library.job_request import FIELDS
from ci_client.library.server_limits import ServerLimits
from ci_client.library.transport import unexpected


class ServerFacts:
    """Questions about a server, and not about jobs."""

    def __init__(self, http: httpx.Client, exchange: Exchange, limits: ServerLimits) -> None:
        self._http = http
        self._exchange = exchange
        self._limits = limits

    def health(self) -> dict[str, Any]:
        """What answers at the address, which anybody may ask: `service` and `version`.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        told = self._exchange.ask("GET", "/health")
        if not isinstance(told, dict) or "status" not in told:
            raise unexpected(self._http, "no health")
        return told

    def why_not_ready(self) -> str | None:
        """Why jobs submitted now would not run; `None`: they would.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        try:
            self._exchange.ask("GET", "/ready")
        except RequestRefused as error:
            if error.http_status != 503:
                raise
            return error.message
        return None

    def facts(self) -> dict[str, Any] | None:
        """What the server is and allows, and who we are to it; `None` where it is too old to tell.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        try:
            told = self._exchange.ask("GET", "/server")
        except RequestRefused as error:
            if error.http_status not in (404, 405):
                raise
            return None
        if not isinstance(told, dict):
            raise unexpected(self._http, "no facts")
        return told

    def has_pages(self) -> bool:
        """Whether there is a dashboard for browsers.

        Raises:
            RequestRefused, ServerUnreachable.
        """
        try:
            self._exchange.send("GET", "/ui/")
        except RequestRefused as error:
            if error.http_status == 404:
                return False
            if error.http_status >= 500:
                raise
            # Such as 401 of a proxy that knows browsers by their cookies: it is there.
        return True

    def unknown_fields(self) -> list[str]:
        """What this client can ask for and the server does not know, because it is older.

        Raises:
            RequestRefused, ServerUnreachable, UnexpectedAnswer.
        """
        known = self._limits.told().get("fields", ())
        return [name for name in FIELDS if name not in known]
