"""Clients that close their connection before they are answered."""

from functools import partial

from starlette.requests import Request

from ci_server.submission.package_scan import Gone


def client_gone(request: Request) -> Gone:
    """Returns when the client has gone. Call it when the body has been read to its end."""
    return partial(_gone, request)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
