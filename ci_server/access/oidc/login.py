"""The flow: where a browser is sent to, and who it is when it comes back."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from ci_common.errors import ForbiddenError, InvalidCredentialsError, quoted
from ci_common.principal import Role
from ci_common.sessions import IssuedUser
from ci_server.access.auth.jwt_identity import ClaimNames, email_claim, role_claim, text_claim
from ci_server.access.auth.jwt_verifier import Claims
from ci_server.access.oidc.attempt import Attempt, Attempts
from ci_server.access.oidc.issuer import Issuer, KnownIssuer
from ci_server.access.oidc.token_endpoint import TokenEndpoint

_MOST_CODE = 4096


@dataclass(frozen=True, slots=True)
class UserMapping:
    """Whom the claims of an ID token name; the same claims as in the JWTs of API clients."""

    names: ClaimNames
    default_role: Role
    tenant: str | None = None
    """Of all users; `None`: a claim names it."""
    required: tuple[str, str] | None = None
    """A claim that a user must have, and its value."""

    def user(self, issuer: str, claims: Claims) -> IssuedUser:
        """Raises InvalidCredentialsError, ForbiddenError."""
        self._check_required(claims)
        name = next((name for name in self.names.user if name in claims), None)
        if name == "email" and claims.get("email_verified") is not True:
            raise ForbiddenError(
                "the identity provider has not verified your e-mail address (email_verified)"
            )
        return IssuedUser(
            issuer=issuer,
            tenant=self.tenant or text_claim(claims, self.names.tenant),
            user=text_claim(claims, self.names.user),
            role=role_claim(claims, self.default_role),
            email=email_claim(claims),
        )

    def _check_required(self, claims: Claims) -> None:
        if self.required is None:
            return
        name, wanted = self.required
        found = claims.get(name)
        if wanted not in (found if isinstance(found, list) else [found]):
            raise ForbiddenError(
                f"your account does not have {name}={wanted}, which this server requires "
                "(CI_OIDC_REQUIRED_CLAIM): ask an administrator"
            )


@dataclass(frozen=True, slots=True)
class Returned:
    """What the browser comes back with: parameters of the address, and its cookie."""

    cookie: str | None
    state: str | None = None
    code: str | None = None
    issuer: str | None = None
    error: str | None = None


class OidcLogin:
    """Of one server process, with one issuer."""

    def __init__(
        self,
        issuer: Issuer,
        endpoint: TokenEndpoint,
        attempts: Attempts,
        mapping: UserMapping,
        client_id: str,
        scopes: str,
        now: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._endpoint = endpoint
        self._attempts = attempts
        self._mapping = mapping
        self._client_id = client_id
        self._scopes = scopes
        self._now = now

    async def begin(self, redirect: str, next_path: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie it has to keep. Raises NotReadyError."""
        known = await self._issuer.known()
        attempt = Attempt.begin(next_path)
        parameters = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect,
            "scope": self._scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        endpoint = known.facts.authorization_endpoint
        joined = "&" if "?" in endpoint else "?"
        address = f"{endpoint}{joined}{urlencode(parameters)}"
        return address, self._attempts.sealed(attempt, self._now())

    async def finish(self, returned: Returned, redirect: str) -> tuple[IssuedUser, str]:
        """Who it is, and the path to go to. Raises InvalidCredentialsError, ForbiddenError,
        NotReadyError.
        """
        attempt = self._attempts.opened(returned.cookie)
        known = await self._issuer.known()
        self._check_is_answer(returned, attempt, known)
        if returned.error is not None:
            raise ForbiddenError(f"the identity provider says: {quoted(returned.error)}")
        if not returned.code or len(returned.code) > _MOST_CODE:
            raise InvalidCredentialsError("the identity provider sent no code: sign in again")
        token = await self._endpoint.id_token(
            known.facts, returned.code, attempt.verifier, redirect
        )
        claims = await known.verifier.verify(token)
        self._check_is_for_us(claims, attempt)
        return self._mapping.user(self._issuer.issuer, claims), attempt.next_path

    def _check_is_answer(self, returned: Returned, attempt: Attempt, known: KnownIssuer) -> None:
        """To this browser's attempt, and of this issuer (RFC 9207: not of one mixed up with it)."""
        if not hmac.compare_digest((returned.state or "").encode(), attempt.state.encode()):
            raise InvalidCredentialsError(
                "this answer of the identity provider is not for this browser's last attempt: "
                "sign in again"
            )
        is_needed = known.facts.names_itself or returned.issuer is not None
        if is_needed and returned.issuer != self._issuer.issuer:
            raise InvalidCredentialsError("this answer is from another identity provider")

    def _check_is_for_us(self, claims: Claims, attempt: Attempt) -> None:
        """What OpenID Connect Core 3.1.3.7 asks for beyond a JWT that is valid here."""
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), attempt.nonce.encode()
        ):
            raise InvalidCredentialsError(
                "the identity provider's token is not for this attempt (nonce): sign in again"
            )
        audience, party = claims["aud"], claims.get("azp")
        is_shared = isinstance(audience, list) and len(audience) > 1
        if (is_shared or party is not None) and party != self._client_id:
            raise InvalidCredentialsError("the token was issued to another client (azp)")

    async def close(self) -> None:
        """Let go of connections."""
        await self._issuer.close()
