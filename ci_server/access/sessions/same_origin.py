"""Which pages may use the cookie of a session: those of our own origin.

Browsers add cookies by themselves, so a cookie does not say that its user wants the request. What
says so are headers that no page can set: `Sec-Fetch-Site` and, from browsers and over connections
without it, `Origin`. `SameSite=Strict` on the cookie is a second lock, not the first: other ports
of a host and other hosts of a domain are the same site.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from ci_common.errors import CrossOriginError, quoted
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import follows_link
from ci_server.access.auth.request_host import is_origin_of

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class OwnOrigin:
    """The origin of our own pages."""

    public_url: str | None = None
    """As the operator has set it; otherwise it is where a request came to."""

    def check(self, credentials: Credentials) -> None:
        """Refuse what a page of another origin sent, and what may change something and says
        nothing of where it comes from. Raises CrossOriginError.
        """
        if reason := self._why_foreign(credentials):
            raise CrossOriginError(
                f"{reason}; the cookie of a session is only for this server's own pages: programs "
                "send an API key as `Authorization: Bearer ...`"
            )

    def check_page(self, credentials: Credentials) -> None:
        """The same for a request that needs no cookie: a program that says nothing of pages may
        send it. Raises CrossOriginError.
        """
        if {"origin", "sec-fetch-site"} & set(credentials.headers):
            self.check(credentials)

    def is_https(self, credentials: Credentials) -> bool:
        """Whether the browser speaks https, also to a proxy that we are not told to trust."""
        origin = credentials.headers.get("origin", self.public_url or "")
        return credentials.is_secure or origin.startswith("https://")

    def _why_foreign(self, credentials: Credentials) -> str | None:
        headers = credentials.headers
        is_safe = credentials.method in _SAFE_METHODS and not credentials.is_websocket
        site = headers.get("sec-fetch-site")
        if site == "same-origin":
            return None
        by_user = site == "none"
        if site is not None and not (by_user or follows_link(credentials.method, headers)):
            return "a web page of another site sent this request"
        origin = headers.get("origin")
        if origin is not None:
            is_own = is_origin_of(origin, headers.get("host", "")) or origin == self._public_origin
            return None if is_own else f"a web page of {quoted(origin)} sent this request"
        is_enough = is_safe or by_user
        return None if is_enough else "this request has neither Origin nor Sec-Fetch-Site"

    @property
    def _public_origin(self) -> str | None:
        if self.public_url is None:
            return None
        url = urlsplit(self.public_url)
        return f"{url.scheme}://{url.netloc}"
