"""Where a repository is pulled from, as everybody may know it."""

import re
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

_SHORT_ADDRESS = re.compile(r"(?P<user>[^@/:]*@)?(?P<place>[A-Za-z0-9._-]{2,}:[^\\/:].*)")
"""ssh's short form."""


def public_address(url: str) -> str | None:
    """A remote's address without user, password and query; `None` for one that only has a meaning
    on this machine.
    """
    if not url.isprintable() or '"' in url or "\\" in url:
        return None
    if short := _SHORT_ADDRESS.fullmatch(url):
        return url if short["user"] == "git@" else short["place"]
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ssh", "git") and parts.hostname:
            host = parts.netloc.rpartition("@")[2]
            return urlunsplit((parts.scheme, host, parts.path, "", ""))
    return None
