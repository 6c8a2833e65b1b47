"""Who may send models: anyone, or those with a bearer token (RFC 6750)."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from engine.service.answers import Refused, come_again
from engine.service.keys import Keys, KeysUnavailable
from engine.service.tokens import Expected, InvalidToken, verify

RETRY_SECONDS = 10


@dataclass(frozen=True)
class Access:
    """A token that is known here, keys of those who issue tokens, or both; neither: anyone may."""

    token: str | None = None
    keys: Keys | None = None
    expected: Expected | None = None

    @property
    def is_open(self) -> bool:
        """Whether no token is asked for."""
        return self.token is None and self.keys is None

    def check(self, headers: Sequence[str]) -> None:
        """Let a request pass, by its headers Authorization.

        Raises:
            Refused: 401, or 503 while the keys cannot be had.
        """
        if self.is_open:
            return
        kind, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            raise _unauthorized("a bearer token is required", "Bearer")
        if self.token is not None and _same(token, self.token):
            return
        if self.keys is None or self.expected is None:
            raise _invalid("the token is invalid")
        try:
            verify(token, self.keys.find, self.expected)
        except InvalidToken as error:
            raise _invalid(str(error)) from error
        except KeysUnavailable as error:
            message = "the keys that tokens are verified with cannot be fetched"
            raise come_again(message, RETRY_SECONDS) from error


def _same(token: str, known: str) -> bool:
    """Compared by hashes of one length, in a time that tells nothing."""
    hashes = (hashlib.sha256(text.encode(errors="replace")).digest() for text in (token, known))
    return hmac.compare_digest(*hashes)


def _invalid(message: str) -> Refused:
    return _unauthorized(message, 'Bearer error="invalid_token"')


def _unauthorized(message: str, challenge: str) -> Refused:
    return Refused(HTTPStatus.UNAUTHORIZED, message, {"WWW-Authenticate": challenge})
