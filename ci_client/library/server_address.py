"""Addresses of servers: their one form, whom a key belongs to, and where it may be sent."""

import os
import re

from ci_client.errors import ConfigError

DEFAULT_SERVER = "http://localhost:8000"

ALLOW_HTTP = "CI_ALLOW_HTTP"
_TRUE = ("1", "true", "yes", "on")

_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
"""Programs read an address with one of these differently, or drop them."""

Origin = tuple[str, bytes, int]
"""Scheme, host and port: whom a key belongs to."""


def normal_url(text: str, said_in: str) -> str:
    """The address, with a scheme in lower case and without a slash at its end. `said_in` names
    where it was given.

    Raises ConfigError.
    """
    from urllib.parse import urlsplit

    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    scheme, _, rest = url.rstrip("/").partition("://")
    url = f"{scheme.lower()}://{rest}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or _NOT_IN_ADDRESSES.search(url):
        raise ConfigError(
            f"{said_in}: {text!r} is not a server address; it should look like {DEFAULT_SERVER}."
        )
    return url


def check_without_user(url: str, said_in: str) -> None:
    """Raise ConfigError for an address with a user name, which looks like another server's."""
    from urllib.parse import urlsplit

    if "@" in urlsplit(url).netloc:
        raise ConfigError(
            f"{said_in}: a server address must not contain a user name or password; this one "
            f"points to the host {urlsplit(url).hostname}."
        )


def origin(url: str) -> Origin:
    """Of an address in its one form. Two addresses with the same origin are the same server.

    Raises ConfigError.
    """
    # By the library that connects: nobody may read an address differently than it does.
    import httpx

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{url} is not a server address: {error}.") from error
    return parsed.scheme, parsed.raw_host, parsed.port or (443 if parsed.scheme == "https" else 80)


def check_key_is_safe(url: str) -> None:
    """Raise ConfigError where others could read a key on its way, unless the user allows that."""
    from urllib.parse import urlsplit

    from ci_common.addresses import is_loopback

    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return
    if os.environ.get(ALLOW_HTTP, "").strip().lower() not in _TRUE:
        raise ConfigError(
            f"The API key was not sent, because anyone on the way to {url} could read it. Use an "
            f"https:// address, or, in a network you trust, set {ALLOW_HTTP}=true."
        )


def _is_host(name: str | None) -> bool:
    """Whether the name service can be asked for it: it refuses labels that are empty or long."""
    return bool(name) and all(0 < len(part) < 64 for part in str(name).rstrip(".").split("."))
