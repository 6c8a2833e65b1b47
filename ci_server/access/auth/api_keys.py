"""API keys: `Authorization: Bearer ci_…`."""

from collections.abc import Callable
from datetime import datetime

from typing_extensions import override

from ci_common.errors import InvalidCredentialsError
from ci_common.identities import TOKEN_MARK, token_digest
from ci_common.ports.identities import IssuedKeys
from ci_common.principal import KeyFacts, Principal
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.last_use import LastUse


class ApiKeyIdentity(Identity):
    """Whoever sends a live key is its user, with the key's role.

    Nothing is remembered about keys, so that one is worthless as soon as it is revoked.
    """

    def __init__(self, keys: IssuedKeys, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._now = now
        self._has_users = False
        self._last_use = LastUse("an API key", keys.record_use)

    @override
    async def is_configured(self) -> bool:
        """Whether there is a user. Users stay for ever, so True is never asked for again."""
        if not self._has_users:
            self._has_users = await self._keys.has_users()
        return self._has_users

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The key."""
        token = credentials.bearer
        return token if token is not None and token.startswith(TOKEN_MARK) else None

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """The key's user. Raises InvalidCredentialsError, the same whatever the reason."""
        token = self.evidence(credentials)
        if token is None:
            return None
        now = self._now()
        key = await self._keys.find_live(token_digest(token), now)
        if key is None:
            raise InvalidCredentialsError
        self._last_use.note(key.key_id, key.last_used_at, now)
        return Principal(
            tenant=key.user.tenant,
            user=key.user.email,
            role=key.role,
            credential=f"key:{key.key_id}",
            key=KeyFacts(key.prefix, key.name, key.expires_at),
        )

    async def close(self) -> None:
        """Let what is being recorded be recorded, for a moment. Before the database closes."""
        await self._last_use.close()
