"""Signing browsers in and out: the one place where a session begins."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from ci_common.errors import InvalidCredentialsError, StorageUnavailableError
from ci_common.identities import ApiKey, token_digest
from ci_common.ports.audit import AuditAction
from ci_common.ports.identities import IssuedKeys
from ci_common.ports.sessions import LONGEST_KEPT, BrowserSessions
from ci_common.principal import Origin, Principal
from ci_common.sessions import (
    IssuedUser,
    Session,
    new_session_id,
    new_session_token,
    shown_agent,
)
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.sessions import principal_of
from ci_server.access.sessions.rules import SessionRules

logger = logging.getLogger(__name__)

_RETENTION_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun, and what its cookie has to hold."""

    token: str
    lasts: timedelta
    principal: Principal


@dataclass(frozen=True, slots=True)
class Browser:
    """Who signs in from where."""

    origin: Origin
    agent: str | None = None
    """Its `User-Agent`."""


class SessionService:
    """Of one server process."""

    def __init__(
        self,
        sessions: BrowserSessions,
        keys: IssuedKeys,
        rules: SessionRules,
        trail: AuditTrail,
        now: Callable[[], datetime],
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._rules = rules
        self._trail = trail
        self._now = now

    async def sign_in_with_key(self, key: str, browser: Browser) -> SignedIn:
        """A session that stands for an API key, which has been authenticated.

        Raises InvalidCredentialsError when it has been revoked since.
        """
        found = await self._keys.find_live(token_digest(key), self._now())
        if found is None:
            raise InvalidCredentialsError
        lasts = self._rules.lasts
        if found.expires_at is not None:
            lasts = min(lasts, found.expires_at - self._now())
        return await self._begin(found, lasts, browser)

    async def sign_in_issued(self, user: IssuedUser, browser: Browser) -> SignedIn:
        """A session of a user whom the issuer named just now."""
        return await self._begin(user, self._rules.issued_lasts, browser)

    async def sign_out(self, principal: Principal) -> None:
        """End the session that a principal came with; nothing for those that came without."""
        if principal.session is not None:
            session_id = principal.session.session_id
            entry = self._trail.entry(principal, AuditAction.SIGN_OUT, target=session_id)
            await self._sessions.delete(session_id, entry)

    async def _begin(
        self, who: ApiKey | IssuedUser, lasts: timedelta, browser: Browser
    ) -> SignedIn:
        # Always a new token: one that was there before may be known to others (fixation).
        token, now = new_session_token(), self._now()
        session = Session(
            session_id=new_session_id(),
            stands_for=who,
            begun_at=now,
            ends_at=now + lasts,
            used_at=now,
            address=browser.origin.address,
            agent=shown_agent(browser.agent),
        )
        principal = principal_of(session, browser.origin)
        entry = self._trail.entry(principal, AuditAction.SIGN_IN, target=session.session_id)
        await self._sessions.add(session, token_digest(token), self._rules.most_per_user, entry)
        return SignedIn(token, lasts, principal)

    async def forget_old_ones(self) -> NoReturn:
        """Delete sessions that ended long ago now and then; several processes may."""
        while True:
            try:
                await self._sessions.delete_before(self._now() - LONGEST_KEPT)
            except StorageUnavailableError as error:
                logger.debug("cannot delete old sessions now: %s", error)
            except Exception:
                logger.exception("cannot delete old sessions")
            await asyncio.sleep(_RETENTION_PAUSE_SECONDS)
