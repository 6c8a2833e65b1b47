"""No identities: every program of this machine is the server's single user."""

from collections.abc import Collection, Mapping

from typing_extensions import override

from ci_common.addresses import is_loopback
from ci_common.errors import NotLocalError, quoted
from ci_common.principal import LOCAL_PRINCIPAL, Principal
from ci_server.access.auth.addresses import came_through_proxy
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.request_host import host_of, is_origin_of

_WHAT_TO_DO = (
    "this server has no users yet, so it accepts only programs on its own machine; "
    "create a user (`ci-admin user create`) and a key (`ci-admin key create`), or set "
    "CI_INSECURE=true to let anyone who can reach the server use it"
)
_OWN_SITES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site`: a page of ours, and what the user typed or opened from a bookmark."""


class LocalIdentity(Identity):
    """The single user of a server that nobody set identities up for.

    Programs of this machine only: a web page in a browser here is not one, however it makes the
    browser send a request, and neither is whoever comes through a proxy. See `why_not_local`.
    """

    def __init__(self, *, insecure: bool, origins: Collection[str] = ()) -> None:
        self._insecure = insecure
        self._origins = origins
        """Of web pages that the operator lets in all the same."""

    @override
    async def is_configured(self) -> bool:
        """Always: there is nothing to set up."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """Nothing: it goes by where the request comes from."""
        return None

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """The single user. Raises NotLocalError."""
        if not self._insecure and (reason := why_not_local(credentials, self._origins)):
            raise NotLocalError(f"{reason}; {_WHAT_TO_DO}")
        return LOCAL_PRINCIPAL


def why_not_local(credentials: Credentials, origins: Collection[str] = ()) -> str | None:
    """Why a request is not one of a program of this machine; `None` when it is.

    Programs send neither `Origin` nor `Sec-Fetch-Site`; browsers send the first with requests
    that may change something, and the second with every request to this machine. Links lead
    here from other sites all the same: what they open is shown to the user, not to the page.
    """
    headers = credentials.headers
    for address in (credentials.peer, credentials.local):
        if address is not None and not is_loopback(address):
            return "the request did not come over the loopback interface"
    if came_through_proxy(headers):
        return "the request came through a proxy"
    host = headers.get("host")
    if host is not None and not is_loopback(host_of(host) or ""):
        return f"the request is for the host {quoted(host)}"
    origin = headers.get("origin")
    if origin is not None:
        is_known = is_origin_of(origin, host or "") or origin in origins
        return None if is_known else "a web page of another origin sent the request"
    site = headers.get("sec-fetch-site")
    if site is None or site in _OWN_SITES or follows_link(credentials.method, headers):
        return None
    return "a web page of another site sent the request"


def follows_link(method: str | None, headers: Mapping[str, str]) -> bool:
    """Whether the browser is about to show the answer in a tab of its own, not in a frame."""
    wanted = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return method == "GET" and wanted == ("navigate", "document")
