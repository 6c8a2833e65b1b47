"""API keys: `Authorization: Bearer ci_…`."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from typing_extensions import override

from ci_common.errors import InvalidCredentialsError
from ci_common.identities import TOKEN_MARK, ApiKey, token_digest
from ci_common.ports.identities import IssuedKeys
from ci_common.principal import KeyFacts, Principal
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials

logger = logging.getLogger(__name__)

USE_RECORDED_EVERY = timedelta(minutes=1)

_CLOSING_SECONDS = 2.0


class ApiKeyIdentity(Identity):
    """Whoever sends a live key is its user, with the key's role.

    Nothing is remembered about keys, so that one is worthless as soon as it is revoked.
    """

    def __init__(self, keys: IssuedKeys, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._now = now
        self._has_users = False
        self._recorded: dict[str, datetime] = {}
        """When the use of a key was last recorded, by its id: as many as there are keys."""
        self._recordings: set[asyncio.Task[None]] = set()

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
        self._note_use(key, now)
        return Principal(
            tenant=key.user.tenant,
            user=key.user.email,
            role=key.role,
            credential=f"key:{key.key_id}",
            key=KeyFacts(key.prefix, key.name, key.expires_at),
        )

    async def close(self) -> None:
        """Let what is being recorded be recorded, for a moment. Before the database closes."""
        if self._recordings:
            await asyncio.wait(self._recordings, timeout=_CLOSING_SECONDS)

    def _note_use(self, key: ApiKey, now: datetime) -> None:
        """In the background: the request does not wait for the disk, nor for other writers."""
        known = (key.last_used_at, self._recorded.get(key.key_id))
        if any(last and timedelta(0) <= now - last < USE_RECORDED_EVERY for last in known):
            return
        self._recorded[key.key_id] = now
        task = asyncio.create_task(self._keys.record_use(key.key_id, now))
        self._recordings.add(task)
        task.add_done_callback(self._recorded_use)

    def _recorded_use(self, task: asyncio.Task[None]) -> None:
        self._recordings.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("could not record the use of an API key", exc_info=error)
