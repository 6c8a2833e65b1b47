"""The address of this server as its clients have it."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ci_server.access.auth.addresses import TrustedProxies, peer_of


def public_url(connection: HTTPConnection, configured: str | None, proxies: TrustedProxies) -> str:
    """Without a slash at the end: as the operator has set it, or else as this request came here,
    seen through trusted proxies.
    """
    if configured is not None:
        return configured.rstrip("/")
    headers = dict(connection.headers.items())
    scheme = "https" if connection.url.scheme in ("https", "wss") else "http"
    is_secure = proxies.is_secure(scheme, peer_of(connection.scope, headers), headers)
    return f"{'https' if is_secure else 'http'}://{connection.headers.get('host', 'localhost')}"


def websocket_url(base: str) -> str:
    """The same for WebSockets."""
    url = urlsplit(base)
    return url._replace(scheme="wss" if url.scheme == "https" else "ws").geturl()
