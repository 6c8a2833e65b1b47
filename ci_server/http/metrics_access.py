"""Who may read the metrics: the guard of their route."""

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from typing_extensions import override

from ci_common.policy import Action
from ci_common.principal import LOCAL_PRINCIPAL, Principal
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import why_not_local
from ci_server.access.limits.address import address_of
from ci_server.http.guards import Access, AccessControl


class MetricsAccess(Access):
    """Like any route's guard, but that the setting may let in others, too."""

    def __init__(self) -> None:
        super().__init__(Action.METRICS)

    @override
    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Raises what `Access` raises, and 404 where the metrics are off."""
        control: AccessControl = connection.app.state.access
        mode: str = connection.app.state.metrics_access
        if mode == "off":
            raise HTTPException(404)
        credentials = control.credentials_of(connection)
        open_to = mode == "everyone" or (
            mode == "loopback" and is_local(credentials, control.proxies)
        )
        if open_to:
            control.traffic.check_address(address_of(credentials))
            return LOCAL_PRINCIPAL
        return await control.admit(credentials, self.action)


def is_local(credentials: Credentials, proxies: TrustedProxies) -> bool:
    """Whether a program of this machine asks: none that asks for others, such as a proxy, nor a
    browser for a page.
    """
    return not proxies.trust(credentials.peer) and why_not_local(credentials) is None
