"""Login throttling: after too many invalid credentials, an address has to wait."""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override

from ci_common.errors import InvalidCredentialsError, TooManyAttemptsError
from ci_common.principal import Principal
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.limits.address import address_of, is_this_machine, limited_as
from ci_server.access.limits.buckets import TokenBuckets

_MOST_REMEMBERED = 10_000
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class FailureLimits:
    """0 means no limit."""

    per_minute: float = 0
    limit_local: bool = False


class ThrottledAuthenticator(Authenticator):
    """An Authenticator that limits the invalid credentials of an address.

    An address that was wrong too often is not looked at any more, which costs no look-up, until
    some time has passed; but for credentials that have been good here before. Those are
    authenticated as ever, so that one who guesses does not lock out who works behind the same
    address, and learns nothing: a guess is not remembered unless it was right. Attempts that
    come at the same moment, before the first of them failed, are all looked at.

    Tokens for one job are not throttled: nobody guesses one, and to look at one costs next to
    nothing. Browsers come with expired ones all at once when a server starts again, and new ones
    are never known to be good.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        limits: FailureLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._failures = (
            TokenBuckets(limits.per_minute / _MINUTE, limits.per_minute, clock)
            if limits.per_minute
            else None
        )
        self._secret = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        """Digests of what was good, the latest last; never the credentials themselves."""

    @override
    async def has_identities(self) -> bool:
        return await self._authenticator.has_identities()

    @override
    async def authenticate(self, credentials: Credentials) -> Principal:
        """Raises TooManyAttemptsError, too."""
        address = address_of(credentials)
        if self._failures is None or self._is_exempt(address) or credentials.token is not None:
            return await self._authenticator.authenticate(credentials)
        proof = self._digest(credentials)
        if proof is None:
            return await self._authenticator.authenticate(credentials)
        key = limited_as(address or "")
        wait = self._failures.wait(key)
        if wait and proof not in self._good:
            raise _too_often(wait)
        try:
            principal = await self._authenticator.authenticate(credentials)
        except InvalidCredentialsError:
            self._good.pop(proof, None)
            self._failures.take(key)
            raise
        self._remember(proof)
        return principal

    def vouch(self, credentials: Credentials) -> None:
        """Take these for good: they were issued a moment ago, to somebody who was authenticated."""
        if self._failures is not None and (proof := self._digest(credentials)) is not None:
            self._remember(proof)

    def _is_exempt(self, address: str | None) -> bool:
        return is_this_machine(address) and not self._limits.limit_local

    def _digest(self, credentials: Credentials) -> bytes | None:
        """`None` for a request that does not try to prove anything."""
        evidence = self._authenticator.evidence(credentials)
        if not evidence:
            return None
        shown = "\0".join(evidence).encode()
        return hashlib.blake2b(shown, key=self._secret, digest_size=16).digest()

    def _remember(self, proof: bytes) -> None:
        self._good[proof] = None
        self._good.move_to_end(proof)
        if len(self._good) > _MOST_REMEMBERED:
            self._good.popitem(last=False)


def _too_often(wait: float) -> TooManyAttemptsError:
    return TooManyAttemptsError(
        "too many invalid credentials from your address (CI_FAILED_LOGINS_PER_MINUTE); "
        f"try again in {math.ceil(wait)} s",
        wait,
    )
