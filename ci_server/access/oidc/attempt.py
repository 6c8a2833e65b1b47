"""One attempt to sign in, which the browser keeps in a cookie until it comes back.

The cookie is a JWT of our own, so that any server process on the data directory knows it again. It
binds the answer of the issuer to this browser (`state`), the token to this attempt (`nonce`), and
the code to whoever began (`verifier`, RFC 7636).
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from ci_common.errors import InvalidCredentialsError

LASTS = timedelta(minutes=10)

HOME = "/ui/"
"""Where pages that one can come back to are."""

_ALGORITHM = "HS256"
_MOST_NEXT = 1000
_NEXT = re.compile(r"/ui/[A-Za-z0-9._~!$&'()*+,;=:@%/?#\[\]|-]*")
_UPWARDS = re.compile(r"/(\.|%2e){1,2}(/|$)|//|%5c|%2f", re.IGNORECASE)
"""In the part before `?` or `#`: what browsers, or a proxy, may take for another place."""


def safe_next(path: str | None) -> str:
    """A path below `/ui/` of our own, to go to after signing in; anything else is `/ui/`."""
    if path is None or len(path) > _MOST_NEXT or not _NEXT.fullmatch(path):
        return HOME
    return HOME if _UPWARDS.search(re.split("[?#]", path)[0]) else path


@dataclass(frozen=True, slots=True)
class Attempt:
    """What has to fit when the browser comes back."""

    state: str
    nonce: str
    verifier: str
    next_path: str

    @classmethod
    def begin(cls, next_path: str) -> "Attempt":
        """A new one, of 256 random bits each."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, safe_next(next_path))

    @property
    def challenge(self) -> str:
        """What the issuer is told of the verifier (S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Attempts:
    """Seals attempts into cookies, and opens them."""

    def __init__(self, key: bytes) -> None:
        """The key of the data directory, from which one for this alone is made."""
        self._key = hmac.digest(key, b"oidc attempt", hashlib.sha256)

    def sealed(self, attempt: Attempt, now: datetime) -> str:
        """The cookie's value."""
        content = {
            "state": attempt.state,
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "next": attempt.next_path,
            "exp": now + LASTS,
        }
        return jwt.encode(content, self._key, _ALGORITHM)

    def opened(self, value: str | None) -> Attempt:
        """The attempt. Raises InvalidCredentialsError."""
        if value is None:
            raise InvalidCredentialsError(
                "this browser has not begun to sign in here, or already finished: sign in again"
            )
        try:
            content = jwt.decode(
                value, self._key, algorithms=[_ALGORITHM], options={"require": ["exp"]}
            )
        except jwt.ExpiredSignatureError:
            raise InvalidCredentialsError("signing in took too long: sign in again") from None
        except jwt.InvalidTokenError:
            raise InvalidCredentialsError(
                "this sign-in was not started by this server: sign in again"
            ) from None
        return Attempt(content["state"], content["nonce"], content["verifier"], content["next"])
