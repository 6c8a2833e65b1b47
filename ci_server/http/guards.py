"""Authentication and authorization of routes: a guard's parameter is the action it permits.

They take any `HTTPConnection`, so that requests and WebSockets share them. A route without one of
these is a defect, and a test over all routes finds it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from ci_common.errors import ForbiddenError, InvalidCredentialsError, quoted
from ci_common.policy import Action, Policy
from ci_common.ports.audit import AuditAction
from ci_common.principal import Origin, Principal
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.addresses import TrustedProxies, peer_of
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.request_host import is_origin_of
from ci_server.access.limits.address import address_of
from ci_server.access.limits.failed_logins import ThrottledAuthenticator
from ci_server.access.limits.traffic import Traffic
from ci_server.http.cleanup import at_end
from ci_server.http.standing_access import remember_access
from ci_server.telemetry.request_id import current_request_id

TOKEN_PARAMETER = "token"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class AccessControl:
    """What routes ask, from the application's state."""

    authenticator: ThrottledAuthenticator
    policy: Policy
    audit: AuditTrail
    traffic: Traffic
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    origins: Collection[str] = ()
    """Of web pages that the operator lets in, besides those of the server's own origin."""

    def credentials_of(self, connection: HTTPConnection) -> Credentials:
        """What the connection carries, and where it comes from."""
        return credentials_of(connection, self.proxies)

    async def admit(self, credentials: Credentials, action: Action) -> Principal:
        """Who asks, when their role lets them do this at all. Refusals are recorded.

        Raises UnauthenticatedError, InvalidCredentialsError, ForbiddenError, NotReadyError,
        LimitReachedError.
        """
        principal = await self.identify(credentials)
        try:
            if credentials.is_websocket:
                self._check_page(credentials)
            self.policy.scope(principal, action)
        except ForbiddenError as error:
            await self.audit.denied(principal, AuditAction(action.value), error)
            raise
        return principal

    async def identify(self, credentials: Credentials) -> Principal:
        """Who asks, whatever they may do. Refusals are recorded. Raises what `admit` does."""
        self.traffic.check_address(address_of(credentials))
        try:
            principal = await self.authenticator.authenticate(credentials)
        except (InvalidCredentialsError, ForbiddenError) as error:
            await self.audit.failed(credentials, error)
            raise
        self.traffic.check_user(principal)
        return principal

    def _check_page(self, credentials: Credentials) -> None:
        """Refuse the WebSocket of a page of another origin that brings no proof of its own.

        Browsers open WebSockets for every page, show it what comes, and add what the user has:
        the address of this machine, the cookie of a proxy before us. There is no CORS for them.
        """
        # Of the kinds of `Authorization` browsers add only others than Bearer by themselves.
        has_proof = credentials.token is not None or credentials.bearer is not None
        origin = credentials.headers.get("origin")
        if origin is None or has_proof or origin in self.origins:
            return
        if not is_origin_of(origin, credentials.headers.get("host", "")):
            raise ForbiddenError(
                f"a web page of {quoted(origin)} opened this WebSocket; only pages of the server's "
                "own origin and of those in CI_CORS_ORIGINS may, unless they send a token"
            )


class Access:
    """A route's dependency: who asks, when their role lets them do this at all.

    To which jobs is for the job service to say, which knows them.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Raises UnauthenticatedError, InvalidCredentialsError, ForbiddenError, NotReadyError,
        LimitReachedError.
        """
        control = _access_control(connection)
        return await control.admit(control.credentials_of(connection), self.action)


async def public() -> None:
    """The dependency of routes that need no authentication."""


async def rate_limited(connection: HTTPConnection) -> None:
    """The dependency of public routes that cost something. Raises RateLimitedError."""
    control = _access_control(connection)
    control.traffic.check_address(address_of(control.credentials_of(connection)))


def origin_of(connection: HTTPConnection) -> Origin:
    """Where a request came from, for a route that asks nobody who they are."""
    return _access_control(connection).credentials_of(connection).origin


def stream_slot(connection: HTTPConnection, principal: Principal, *, of_user: bool = True) -> None:
    """Count the connection as a stream, until it is over, which it is when the caller's access
    ends; as one of its address only, when nobody knows whose it is. Raises TooManyStreamsError.
    """
    control = _access_control(connection)
    user = principal if of_user else None
    give_back = control.traffic.begin_stream(user, principal.origin.address)
    at_end(connection.scope, give_back)
    remember_access(
        connection.scope, control.authenticator, control.credentials_of(connection), principal
    )


def _access_control(connection: HTTPConnection) -> AccessControl:
    control: AccessControl = connection.app.state.access
    return control


def credentials_of(connection: HTTPConnection, proxies: TrustedProxies) -> Credentials:
    """What the connection carries, and where it comes from."""
    headers = _joined(connection.headers.items())
    peer = peer_of(connection.scope, headers)
    server = connection.scope.get("server")
    return Credentials(
        headers=headers,
        peer=peer,
        local=server[0] if server and server[1] is not None else None,
        client=proxies.client(peer, headers),
        method=connection.scope.get("method"),
        token=connection.query_params.get(TOKEN_PARAMETER),
        request_id=current_request_id(),
        is_secure=proxies.is_secure(_scheme(connection), peer, headers),
        is_websocket=connection.scope["type"] == "websocket",
    )


def _scheme(connection: HTTPConnection) -> str:
    scheme = connection.scope.get("scheme")
    return "https" if scheme in ("https", "wss") else "http"


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A header that was sent twice counts as one list (RFC 9110, 5.2): none of its lines wins."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


Submitter = Annotated[Principal, Depends(Access(Action.SUBMIT))]
Lister = Annotated[Principal, Depends(Access(Action.LIST))]
Reader = Annotated[Principal, Depends(Access(Action.READ))]
Canceller = Annotated[Principal, Depends(Access(Action.CANCEL))]
Rerunner = Annotated[Principal, Depends(Access(Action.RERUN))]
UsageReader = Annotated[Principal, Depends(Access(Action.USAGE))]
Previewer = Annotated[Principal, Depends(Access(Action.PREVIEW))]
SessionOwner = Annotated[Principal, Depends(Access(Action.SESSIONS))]
TokenIssuer = Annotated[Principal, Depends(Access(Action.ISSUE_TOKEN))]
