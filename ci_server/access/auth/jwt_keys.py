"""The public keys of an issuer, from its JSON Web Key Set (RFC 7517)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from ci_common.strict_json import strict_object

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MOST_KEYS = 100
"""Of one issuer; what is beyond is ignored."""

_RSA_BITS = range(2048, 8193)
"""Smaller ones can be broken; larger ones cost more than a request may."""


class UnusableKeyError(ValueError):
    """A key, or a set of them, that nothing can be verified with."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, and the one algorithm that it is used with here, whatever a token says."""

    kid: str | None
    algorithm: str
    key: PublicKey = field(repr=False)


def parse_key_set(content: bytes) -> tuple[tuple[VerificationKey, ...], list[str]]:
    """The usable keys, and why the others are ignored. Raises ValueError: it is no key set."""
    entries = strict_object(content).get("keys")
    if not isinstance(entries, list):
        raise UnusableKeyError("not a JSON Web Key Set: it has no list `keys`")
    keys, ignored = [], []
    for number, entry in enumerate(entries[:MOST_KEYS], 1):
        try:
            keys.append(_parse_key(entry))
        except UnusableKeyError as error:
            ignored.append(f"key {number}: {error}")
    if len(entries) > MOST_KEYS:
        ignored.append(f"{len(entries) - MOST_KEYS} keys beyond the first {MOST_KEYS}")
    return tuple(keys), ignored


def _parse_key(entry: Any) -> VerificationKey:
    if not isinstance(entry, dict):
        raise UnusableKeyError("not an object")
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKeyError("its kid is not a string")
    if entry.get("use", "sig") != "sig":
        raise UnusableKeyError("it is not for signatures (use)")
    if "verify" not in _listed(entry.get("key_ops", ["verify"])):
        raise UnusableKeyError("it is not for verification (key_ops)")
    algorithm, key = _public_key(entry)
    if entry.get("alg", algorithm) != algorithm:
        raise UnusableKeyError(f"it is not for the algorithm {algorithm} (alg)")
    return VerificationKey(kid, algorithm, key)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _public_key(entry: Mapping[str, Any]) -> tuple[str, PublicKey]:
    """Only public members are handed on: a key set that leaks private ones makes no signers."""
    kind = (entry.get("kty"), entry.get("crv"))
    try:
        if kind[0] == "RSA":
            return "RS256", _of_good_size(RSAAlgorithm.from_jwk(_only(entry, "n", "e")))
        if kind == ("EC", "P-256"):
            return "ES256", _public(ECAlgorithm.from_jwk(_only(entry, "crv", "x", "y")))
        if kind == ("OKP", "Ed25519"):
            return "EdDSA", _public(OKPAlgorithm.from_jwk(_only(entry, "crv", "x")))
    except UnusableKeyError:
        raise
    except (InvalidKeyError, ValueError, TypeError, AttributeError, OverflowError):
        raise UnusableKeyError("its members are not those of a key") from None
    raise UnusableKeyError("its type is not one that RS256, ES256 or EdDSA use (kty, crv)")


def _only(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: entry[name] for name in ("kty", *names) if name in entry}


def _of_good_size(key: object) -> PublicKey:
    if not isinstance(key, RSAPublicKey) or key.key_size not in _RSA_BITS:
        raise UnusableKeyError("an RSA modulus must have 2048 to 8192 bits")
    return key


def _public(key: object) -> PublicKey:
    if not isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey):
        raise UnusableKeyError("it is not a public key")
    return key
