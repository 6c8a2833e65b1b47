"""Google's identity-aware proxy, and what stands in for it on a developer's machine."""

from collections.abc import Collection
from dataclasses import dataclass

from typing_extensions import override

from ci_common.errors import InvalidCredentialsError
from ci_common.principal import Principal, Role
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.jwt_identity import is_email
from ci_server.access.auth.jwt_verifier import JwtVerifier, looks_signed, refuse
from ci_server.access.auth.local import why_not_local

IAP_ISSUER = "https://cloud.google.com/iap"
IAP_ALGORITHMS = frozenset({"ES256"})
ASSERTION_HEADER = "x-goog-iap-jwt-assertion"
EMAIL_HEADER = "x-goog-authenticated-user-email"
DEVELOPER = "dev@example.com"

_NAMESPACE = "accounts.google.com:"


@dataclass(frozen=True, slots=True)
class ProxyUsers:
    """What users become who come through the proxy, which knows neither tenants nor roles."""

    tenant: str
    role: Role

    def principal(self, email: str, credential: str) -> Principal:
        """The user with this address."""
        return Principal(self.tenant, email.lower(), self.role, credential)


@dataclass(frozen=True, slots=True)
class IapAssertionIdentity(Identity):
    """The signed header, which is as good as its signature, wherever it comes from."""

    verifier: JwtVerifier
    users: ProxyUsers

    @override
    async def is_configured(self) -> bool:
        """Always: it is made when the settings name an audience."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The assertion."""
        return credentials.headers.get(ASSERTION_HEADER)

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Raises InvalidCredentialsError, NotReadyError."""
        assertion = self.evidence(credentials)
        if assertion is None:
            return None
        if not looks_signed(assertion):
            refuse("the assertion of the identity-aware proxy is malformed")
        email = (await self.verifier.verify(assertion)).get("email")
        if not is_email(email):
            refuse("the assertion of the identity-aware proxy names no user (email)")
        return self.users.principal(email, "iap-assertion")


@dataclass(frozen=True, slots=True)
class IapHeaderIdentity(Identity):
    """The plain header, which is worth something only from the proxy itself."""

    proxies: TrustedProxies
    users: ProxyUsers

    @override
    async def is_configured(self) -> bool:
        """Always: it is made when there are proxies to be believed."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The header; from anybody but a trusted proxy it counts as absent."""
        value = credentials.headers.get(EMAIL_HEADER)
        return value if self.proxies.trust(credentials.peer) else None

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Raises InvalidCredentialsError when a proxy sent a header that names no user."""
        value = self.evidence(credentials)
        if value is None:
            return None
        email = value.removeprefix(_NAMESPACE)
        if not value.startswith(_NAMESPACE) or not is_email(email):
            raise InvalidCredentialsError(
                f"the proxy's header {EMAIL_HEADER} is not of the form {_NAMESPACE}USER@DOMAIN"
            )
        return self.users.principal(email, "iap-header")


@dataclass(frozen=True, slots=True)
class DeveloperIdentity(Identity):
    """Requests of programs of this machine that hold no credentials; see LocalIdentity."""

    users: ProxyUsers
    origins: Collection[str] = ()
    """Of web pages that the operator lets in all the same."""

    @override
    async def is_configured(self) -> bool:
        """Always: it is made in development only."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """Nothing: it goes by where the request comes from."""
        return None

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Somebody like the users of the proxy."""
        if "authorization" in credentials.headers or credentials.token is not None:
            return None
        if why_not_local(credentials, self.origins):
            return None
        return self.users.principal(DEVELOPER, "development")
