"""JSON Web Tokens signed with RS256 (RFC 7519, RFC 7518), with nothing but the standard library.

A signature is checked by rebuilding what was signed and comparing it whole (RFC 8017, 8.2.2): what
is never parsed cannot be parsed wrongly. Other algorithms are refused. ES256 would need arithmetic
on curves, which belongs into a library.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.service.keys import PublicKey, decoded

ALGORITHM = "RS256"
LEEWAY_SECONDS = 30
MAX_LENGTH = 16 << 10
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class InvalidToken(Exception):
    """The token proves nothing; the text says why."""


@dataclass(frozen=True)
class Expected:
    """Who has to have issued a token, and for whom."""

    issuer: str
    audience: str


def verify(
    token: str,
    find: Callable[[str], PublicKey | None],
    expected: Expected,
    now: Callable[[], float] = time.time,
) -> None:
    """Check a token's signature, times, issuer and audience; `find` knows keys by name.

    Raises:
        InvalidToken: it is not valid.
    """
    if len(token) > MAX_LENGTH or token.count(".") != 2:
        raise InvalidToken("the token is not a JWT")
    signed, _, signature = token.rpartition(".")
    header, _, payload = signed.partition(".")
    key = find(_key_name(_object(header)))
    if key is None:
        raise InvalidToken("the token is signed with an unknown key")
    if not signature_fits(key, signed.encode("ascii", "replace"), _bytes(signature)):
        raise InvalidToken("the token's signature is invalid")
    _check_claims(_object(payload), expected, now())


def signature_fits(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether this is the signature of these bytes: RSASSA-PKCS1-v1_5 with SHA-256."""
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature)
    if len(signature) != size or number >= key.modulus:
        return False
    message = pow(number, key.exponent, key.modulus).to_bytes(size)
    tail = b"\0" + SHA256_INFO + hashlib.sha256(signed).digest()
    return hmac.compare_digest(message, b"\0\1" + b"\xff" * (size - 2 - len(tail)) + tail)


def _key_name(header: dict[str, Any]) -> str:
    if header.get("alg") != ALGORITHM:
        raise InvalidToken(f"the token must be signed with {ALGORITHM}")
    if "crit" in header:
        raise InvalidToken("the token requires unsupported extensions (crit)")
    name = header.get("kid")
    if not isinstance(name, str):
        raise InvalidToken("the token has no key id (kid)")
    return name


def _check_claims(claims: dict[str, Any], expected: Expected, now: float) -> None:
    if not _is_time(claims.get("exp")) or now >= claims["exp"] + LEEWAY_SECONDS:
        raise InvalidToken("the token has expired, or has no expiry (exp)")
    if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] <= now + LEEWAY_SECONDS):
        raise InvalidToken("the token is not valid yet")
    if claims.get("iss") != expected.issuer:
        raise InvalidToken("the token is from another issuer")
    audience = claims.get("aud")
    if expected.audience not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("the token is for another audience")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bytes(text: str) -> bytes:
    try:
        return decoded(text)
    except ValueError as error:
        raise InvalidToken("the token is not a JWT") from error


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(text), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidToken("the token is not a JWT") from error
    if not isinstance(found, dict):
        raise InvalidToken("the token is not a JWT")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)
