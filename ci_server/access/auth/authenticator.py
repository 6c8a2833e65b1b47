"""The identities of a server, asked in a fixed order."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ci_common.errors import InvalidCredentialsError, UnauthenticatedError
from ci_common.principal import Principal
from ci_server.access.auth.credentials import Credentials


class Identity(Protocol):
    """One way to prove who one is. Each names this class as its base, so that a test finds it."""

    @abstractmethod
    async def is_configured(self) -> bool:
        """Whether the operator has set this way up. Asked at every request: keep it cheap."""

    @abstractmethod
    def evidence(self, credentials: Credentials) -> str | None:
        """The part of these that `identify` goes by, which somebody may try to guess; `None` when
        they hold nothing of this kind, or nothing that could be guessed, such as an address.

        Failed attempts are counted for credentials with evidence, and what was good before is known
        again by it: whatever differs between two callers has to be in it.
        """

    @abstractmethod
    async def identify(self, credentials: Credentials) -> Principal | None:
        """Who sent these; `None` when they hold nothing of this kind.

        Raises InvalidCredentialsError when they do, and it proves nothing; NotReadyError when
        that cannot be told now.
        """


class Authenticator:
    """Finds out who is asking."""

    def __init__(
        self, identities: Sequence[Identity], fallback: Identity, tokens: Identity | None = None
    ) -> None:
        self._tokens = tokens
        """For one job each. Asked first; nobody has to have one."""
        self._identities = identities
        self._fallback = fallback
        """Asked when nothing is configured."""

    async def has_identities(self) -> bool:
        """Whether anybody has to prove who they are."""
        return any([await identity.is_configured() for identity in self._identities])

    def evidence(self, credentials: Credentials) -> tuple[str, ...]:
        """What of these each identity goes by, at the same place for the same one; empty for a
        request that does not try to prove anything.
        """
        # A header that no identity reads is refused like a wrong one, so it counts, too.
        shown = [credentials.headers.get("authorization")]
        shown += [identity.evidence(credentials) for identity in self._identities]
        return tuple(each or "" for each in shown) if set(shown) != {None} else ()

    async def authenticate(self, credentials: Credentials) -> Principal:
        """The principal, and where this request of theirs came from.

        Raises UnauthenticatedError, InvalidCredentialsError, NotLocalError, NotReadyError.
        """
        return replace(await self._identify(credentials), origin=credentials.origin)

    async def _identify(self, credentials: Credentials) -> Principal:
        if self._tokens and (principal := await self._tokens.identify(credentials)):
            return principal
        configured = False
        for identity in self._identities:
            if await identity.is_configured():
                configured = True
                if principal := await identity.identify(credentials):
                    return principal
        if "authorization" in credentials.headers or credentials.token is not None:
            raise InvalidCredentialsError
        if not configured and (principal := await self._fallback.identify(credentials)):
            return principal
        raise UnauthenticatedError
