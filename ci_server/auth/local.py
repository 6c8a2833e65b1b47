"""No identities: everybody who can reach the server is its single user."""

from collections.abc import Collection

from ci_common.addresses import is_loopback
from ci_common.errors import NotLocalError, quoted
from ci_common.principal import LOCAL_PRINCIPAL, Principal
from ci_server.auth.addresses import was_forwarded
from ci_server.auth.credentials import Credentials

_WHAT_TO_DO = (
    "this server knows no users, so it serves programs of its own machine only; make a user "
    "(`ci-admin user create`) and a key (`ci-admin key create`), or, where everybody who reaches "
    "the server may use it, set CI_INSECURE=true"
)


class LocalIdentity:
    """The single user of a server that nobody set identities up for.

    Programs of this machine only: a web page in a browser here is not one, whether it sends a
    form across origins (`Origin`) or has its own name resolve to this machine (`Host`), and
    neither is whoever comes through a proxy.
    """

    def __init__(self, *, insecure: bool, origins: Collection[str] = ()) -> None:
        self._insecure = insecure
        self._origins = origins
        """Of web pages that the operator lets in all the same."""

    async def is_configured(self) -> bool:
        """Always: there is nothing to set up."""
        return True

    async def identify(self, credentials: Credentials) -> Principal | None:
        """The single user. Raises NotLocalError."""
        if not self._insecure and (strange := what_is_strange(credentials, self._origins)):
            raise NotLocalError(f"{strange}; {_WHAT_TO_DO}")
        return LOCAL_PRINCIPAL


def what_is_strange(credentials: Credentials, origins: Collection[str] = ()) -> str | None:
    """Why a request is not one of a program of this machine; `None` when it is."""
    headers = credentials.headers
    for address in (credentials.peer, credentials.local):
        if address is not None and not is_loopback(address):
            return "the request did not come over the loopback interface"
    if was_forwarded(headers):
        return "the request came through a proxy"
    if not is_loopback(_host_of(headers.get("host", "localhost"))):
        return f"the request is for the host {quoted(headers['host'])}"
    origin = headers.get("origin")
    own = origin is None or origin.partition("//")[2] == headers.get("host")
    if not own and origin not in origins:
        return "a web page of another origin sent the request"
    return None


def _host_of(header: str) -> str:
    """Without the port; IPv6 without its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if header.count(":") == 1 else header
