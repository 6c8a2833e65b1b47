"""What the routes of sessions share: the services behind them, and the cookie in their answers."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request, Response

from ci_server.access.auth.credentials import Credentials
from ci_server.access.oidc.login import OidcLogin
from ci_server.access.sessions.cookie import Cookie
from ci_server.access.sessions.same_origin import OwnOrigin
from ci_server.http.guards import AccessControl
from ci_server.services.sessions import Browser, SessionService, SignedIn


@dataclass(frozen=True, slots=True)
class OidcApi:
    """Signing in with an issuer."""

    login: OidcLogin
    cookie: Cookie
    """Of an attempt, which the browser has to send when another site sends it back here."""
    name: str
    """What people call the issuer."""
    public_url: str | None
    """As the operator has set it."""


@dataclass(frozen=True, slots=True)
class SessionsApi:
    """From the application's state."""

    service: SessionService
    cookie: Cookie
    own_origin: OwnOrigin
    request_timeout_seconds: float
    oidc: OidcApi | None = None
    """`None` without an issuer."""

    def keep(
        self,
        response: Response,
        control: AccessControl,
        credentials: Credentials,
        signed_in: SignedIn,
    ) -> None:
        """Give the browser the cookie of its session, which works also while somebody guesses
        behind the same address.
        """
        secure = self.own_origin.is_https(credentials)
        cookie = f"{self.cookie.secure_name}={signed_in.token}"
        control.authenticator.vouch(Credentials({"cookie": cookie}))
        seconds = int(signed_in.lasts.total_seconds())
        header = self.cookie.setting(signed_in.token, seconds, secure=secure)
        response.headers.append("Set-Cookie", header)

    def forget(self, response: Response, credentials: Credentials) -> None:
        """Have the browser delete the cookie, under either name."""
        for secure in (True, False) if self.own_origin.is_https(credentials) else (False,):
            response.headers.append("Set-Cookie", self.cookie.removal(secure=secure))


async def _api(request: Request) -> SessionsApi:
    api: SessionsApi = request.app.state.sessions_api
    return api


async def access_control(request: Request) -> AccessControl:
    """From the application's state, too."""
    control: AccessControl = request.app.state.access
    return control


Api = Annotated[SessionsApi, Depends(_api)]
Control = Annotated[AccessControl, Depends(access_control)]


def browser_of(request: Request, credentials: Credentials) -> Browser:
    """Who signs in from where."""
    return Browser(credentials.origin, request.headers.get("user-agent"))


def with_key(credentials: Credentials, key: str) -> Credentials:
    """The request as if it had come with this API key, and nothing else that proves anything."""
    return replace(credentials, headers={"authorization": f"Bearer {key}"}, token=None)
