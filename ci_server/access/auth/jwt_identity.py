"""JWTs as bearer tokens: callers that an issuer of the operator's choice knows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from typing_extensions import override

from ci_common.identities import TOKEN_MARK
from ci_common.principal import Principal, Role
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.jwt_verifier import Claims, JwtVerifier, looks_signed, refuse

_MOST_CHARACTERS = 256
_EMAIL = re.compile(r"[^\s@,:]{1,64}@[^\s@,:]{1,190}")


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """What the issuer calls them. The first claim of a list that a token has is the one that
    counts, whatever it holds: a token with an unusable one is refused, not read on.
    """

    tenant: tuple[str, ...] = ("tenant_id",)
    user: tuple[str, ...] = ("user_id", "sub")


@dataclass(frozen=True, slots=True)
class JwtIdentity(Identity):
    """`Authorization: Bearer` with a JWT; other bearer tokens are somebody else's."""

    verifier: JwtVerifier
    default_role: Role
    names: ClaimNames = ClaimNames()

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
            tenant=text_claim(claims, self.names.tenant),
            user=text_claim(claims, self.names.user),
            role=role_claim(claims, self.default_role),
            credential="jwt",
            email=email_claim(claims),
        )


def role_claim(claims: Claims, default: Role) -> Role:
    """The token's `role`, if it has one. Raises InvalidCredentialsError."""
    if "role" not in claims:
        return default
    try:
        return Role(claims["role"])
    except ValueError:
        refuse(f"the token's role is not one of {', '.join(Role)}", f"{claims['role']!r:.80}")


def is_email(value: object) -> TypeGuard[str]:
    """Whether it is an address, which may become a variable of a job's environment."""
    return isinstance(value, str) and value.isprintable() and bool(_EMAIL.fullmatch(value))


def email_claim(claims: Claims) -> str | None:
    """The token's `email` if it is one. Nothing depends on it, so no other is refused."""
    email = claims.get("email")
    return email if is_email(email) else None


def text_claim(claims: Claims, names: Sequence[str]) -> str:
    """The first claim of these that the token has, which names somebody.

    It is text from outside: up to 256 printable characters, `../../x` among them. Raises
    InvalidCredentialsError.
    """
    name = next((name for name in names if name in claims), None)
    value = None if name is None else claims[name]
    if value is None:
        refuse(f"the token has no claim {' or '.join(map(repr, names))}")
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        refuse(f"the token's claim {name!r} is not a string")
    if len(value) > _MOST_CHARACTERS:
        refuse(f"the token's claim {name!r} is too long")
    return value
