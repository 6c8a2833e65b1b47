"""JWTs as bearer tokens: callers that an issuer of the operator's choice knows."""

from dataclasses import dataclass

from typing_extensions import override

from ci_common.identities import TOKEN_MARK
from ci_common.principal import Principal, Role
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.jwt_verifier import Claims, JwtVerifier, looks_signed, refuse

_MOST_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class JwtIdentity(Identity):
    """`Authorization: Bearer` with a JWT; other bearer tokens are somebody else's."""

    verifier: JwtVerifier
    default_role: Role

    @override
    async def is_configured(self) -> bool:
        """Always: it is made when the settings name an issuer."""
        return True

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The token."""
        token = credentials.bearer
        if token is None or token.startswith(TOKEN_MARK) or not looks_signed(token):
            return None
        return token

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Who the issuer says it is. Raises InvalidCredentialsError, NotReadyError."""
        token = self.evidence(credentials)
        if token is None:
            return None
        claims = await self.verifier.verify(token)
        return Principal(
            tenant=text_claim(claims, "tenant_id"),
            user=text_claim(claims, "user_id" if "user_id" in claims else "sub"),
            role=self._role(claims),
            credential="jwt",
        )

    def _role(self, claims: Claims) -> Role:
        if "role" not in claims:
            return self.default_role
        try:
            return Role(claims["role"])
        except ValueError:
            refuse(f"the token's role is none of {', '.join(Role)}", f"{claims['role']!r:.80}")


def text_claim(claims: Claims, name: str) -> str:
    """A claim that names somebody. Raises InvalidCredentialsError."""
    value = claims.get(name)
    if value is None:
        refuse(f"the token has no claim {name!r}")
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        refuse(f"the token's claim {name!r} is not a text")
    if len(value) > _MOST_CHARACTERS:
        refuse(f"the token's claim {name!r} is too long")
    return value
