"""Which proxy is between the client and a server, as the environment has it."""

from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from ci_common.addresses import is_loopback


def proxy_of(server_url: str) -> str | None:
    """The address of the proxy that requests go through, without a password in it; `None` without
    one. This machine is reached directly, whatever the environment says.
    """
    parts = urlsplit(server_url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return _without_password(proxy if "://" in proxy else f"http://{proxy}")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
