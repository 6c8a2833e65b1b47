"""Whom a server takes its caller for."""

from typing import Any

from ci_client.errors import RequestRefused, UnexpectedAnswer
from ci_client.library.exchange import Exchange
from ci_client.library.transport import open_http

_TEXTS = ("user", "tenant", "role", "credential")


def ask_caller(exchange: Exchange) -> dict[str, Any]:
    """Who is asking, as `GET /whoami` tells it: `user`, `tenant`, `role`, `credential` and `key`.
    Empty for a server that is too old to tell, and that lets the caller in.

    Raises RequestRefused and its kin, ServerUnreachable, UnexpectedAnswer.
    """
    try:
        told = exchange.ask("GET", "/whoami")
    except RequestRefused as error:
        if error.http_status not in (404, 405):
            raise
        exchange.ask("GET", "/jobs", params={"limit": 1})
        return {}
    if not isinstance(told, dict) or not all(isinstance(told.get(name), str) for name in _TEXTS):
        raise UnexpectedAnswer(exchange.address, "not who is asking")
    return told


def ask_server(server_url: str, api_key: str | None) -> dict[str, Any]:
    """The same, with this key or with none, whatever is configured."""
    with open_http(server_url, api_key) as http:
        return ask_caller(Exchange(http, None))
