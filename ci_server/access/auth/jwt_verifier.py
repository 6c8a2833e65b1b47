"""Signed tokens: a JWS with claims in, trustworthy claims out (RFC 7519, RFC 8725)."""

import base64
import binascii
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt
from jwt.types import Options

from ci_common.errors import InvalidCredentialsError
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.access.auth.jwt_keys import VerificationKey
from ci_server.access.auth.key_cache import KeyCache

logger = logging.getLogger(__name__)

MOST_CHARACTERS = 8192
LEEWAY_SECONDS = 30
ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})

_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_TIMES = ("exp", "nbf", "iat")
_LATEST = 1 << 53
_MOST_KID = 256

Claims = dict[str, Any]

_TOLD = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidIssuerError, "the token is from another issuer"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.MissingRequiredClaimError, "the token lacks a required claim"),
)


def looks_signed(token: str) -> bool:
    """Whether it has the shape of a compact JWS, of any size."""
    return token.count(".") == 2 and _JWS.fullmatch(token) is not None


def refuse(told: str, detail: str = "") -> NoReturn:
    """Raise InvalidCredentialsError; the log gets the detail, the caller the gist."""
    logger.info("a token was refused: %s", f"{told} ({detail})" if detail else told)
    raise InvalidCredentialsError(f"{told}; get a new one from its issuer")


@dataclass(frozen=True, slots=True)
class JwtVerifier:
    """Verifies the tokens of one issuer for one audience, or, with `None`, for any or none.

    The algorithm is the key's; `jku`, `x5u`, `x5c` and `jwk` of a token's header are not read.
    """

    keys: KeyCache
    issuer: str
    audience: str | None
    algorithms: Collection[str] = ALGORITHMS
    requires_kid: bool = False
    """Refuse tokens that do not name their key."""

    async def verify(self, token: str) -> Claims:
        """The claims. Raises InvalidCredentialsError; NotReadyError without any keys, and for a
        key that is not here while none can be fetched.
        """
        header = self._checked_header(token)
        for key in await self._candidates(header):
            if (claims := self._claims(token, key)) is not None:
                return claims
        # A new key without a name cannot be told from a forgery, but for fetching the keys.
        if "kid" not in header and await self.keys.refresh():
            for key in _matching(await self.keys.keys(), header):
                if (claims := self._claims(token, key)) is not None:
                    return claims
        refuse("the token's signature is not valid")

    def _checked_header(self, token: str) -> Claims:
        """Of a token that is worth a signature check; its payload was looked at, too."""
        if len(token) > MOST_CHARACTERS:
            refuse("the token is too large", f"{len(token)} characters")
        encoded_header, payload, _ = token.split(".")
        try:
            header = strict_object(_decoded(encoded_header))
            _check_times(strict_object(_decoded(payload)))
        except AmbiguousJsonError as error:
            refuse("the token is malformed", str(error))
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            refuse("the token's algorithm is not accepted", f"{algorithm!r:.40}")
        if "crit" in header:
            refuse("the token requires an extension that this server does not support (crit)")
        if self.requires_kid and "kid" not in header:
            refuse("the token has no key id (kid)")
        kid = header.get("kid", "")
        if not isinstance(kid, str) or len(kid) > _MOST_KID:
            refuse("the token is malformed", "kid")
        return header

    async def _candidates(self, header: Claims) -> Sequence[VerificationKey]:
        keys = await self.keys.keys()
        if "kid" in header and not any(key.kid == header["kid"] for key in keys):
            await self.keys.refresh()
            keys = await self.keys.keys()
            if self.keys.is_failing and not any(key.kid == header["kid"] for key in keys):
                raise self.keys.not_ready()  # it may be a key that is new
        found = _matching(keys, header)
        if not found:
            refuse("the token's signature is not valid", f"no such key: {header.get('kid')!r:.80}")
        return found

    def _claims(self, token: str, key: VerificationKey) -> Claims | None:
        """`None` when it was not this key that signed."""
        try:
            claims: Claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY_SECONDS,
                options=self._options(),
            )
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
            return None
        except jwt.InvalidTokenError as error:
            told = next((told for kind, told in _TOLD if isinstance(error, kind)), None)
            refuse(told or "the token is malformed", str(error))
        return claims

    def _options(self) -> Options:
        if self.audience is None:
            return {"require": ["exp", "iss"], "verify_aud": False}
        return {"require": ["exp", "iss", "aud"]}


def _matching(keys: Sequence[VerificationKey], header: Claims) -> list[VerificationKey]:
    return [
        key
        for key in keys
        if key.algorithm == header["alg"] and header.get("kid", key.kid) == key.kid
    ]


def _decoded(segment: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise AmbiguousJsonError("not base64url") from None


def _check_times(claims: Claims) -> None:
    """Numbers only (RFC 7519, 2): whatever else a library might make of a string or a boolean."""
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AmbiguousJsonError(f"{name} is not a number")
        if not -_LATEST <= value <= _LATEST:  # NaN is not, either
            raise AmbiguousJsonError(f"{name} is not a time")
