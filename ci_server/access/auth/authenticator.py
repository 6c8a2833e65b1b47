"""The identities of a server, asked in a fixed order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ci_common.errors import InvalidCredentialsError, UnauthenticatedError
from ci_common.principal import Principal
from ci_server.access.auth.credentials import Credentials


class Identity(Protocol):
    """One way to prove who one is."""

    async def is_configured(self) -> bool:
        """Whether the operator has set this way up. Asked at every request: keep it cheap."""

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
        """Of access that was lent. Asked first; nobody has to have one."""
        self._identities = identities
        self._fallback = fallback
        """Asked when nothing is configured."""

    async def has_identities(self) -> bool:
        """Whether anybody has to prove who they are."""
        return any([await identity.is_configured() for identity in self._identities])

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
