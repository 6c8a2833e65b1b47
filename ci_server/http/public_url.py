"""The address of this server as its clients have it."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ci_common.errors import BadRequestError, quoted
from ci_server.access.auth.addresses import TrustedProxies, peer_of
from ci_server.access.auth.request_host import host_of


def public_url(connection: HTTPConnection, configured: str | None, proxies: TrustedProxies) -> str:
    """Without a slash at the end: as the operator has set it, or else as this request came here,
    seen through trusted proxies.

    Raises BadRequestError when the Host header is not valid; call it before anything is stored.
    """
    if configured is not None:
        return configured.rstrip("/")
    headers = dict(connection.headers.items())
    host = headers.get("host")
    if host is None:  # HTTP/1.0
        host = _own_address(connection)
    elif host_of(host) is None:
        raise BadRequestError(f"the Host header {quoted(host)} is not a valid host name")
    scheme = "https" if connection.url.scheme in ("https", "wss") else "http"
    is_secure = proxies.is_secure(scheme, peer_of(connection.scope, headers), headers)
    return f"{'https' if is_secure else 'http'}://{host}"


def _own_address(connection: HTTPConnection) -> str:
    """Where the connection came to."""
    address, port = connection.scope.get("server") or ("localhost", None)
    host = f"[{address}]" if ":" in address else address
    return host if port is None else f"{host}:{port}"


def websocket_url(base: str) -> str:
    """The same for WebSockets."""
    url = urlsplit(base)
    return url._replace(scheme="wss" if url.scheme == "https" else "ws").geturl()
