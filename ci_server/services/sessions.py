"""Browser sessions: the one place where they begin, and where their users see and end them."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from ci_common.errors import (
    InvalidCredentialsError,
    SessionNotFoundError,
    StorageUnavailableError,
)
from ci_common.identities import ApiKey, token_digest
from ci_common.ports.audit import AuditAction
from ci_common.ports.identities import IssuedKeys
from ci_common.ports.sessions import LONGEST_KEPT, BrowserSessions
from ci_common.principal import Origin, Principal
from ci_common.sessions import (
    LIVE,
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


@dataclass(frozen=True, slots=True)
class OwnSession:
    """A live session, as its user sees it."""

    session: Session
    idle_end: datetime
    """When it is over unless it is used before."""
    is_current: bool
    """Whether the request that asks came with it."""


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

    async def own(self, principal: Principal) -> list[OwnSession]:
        """The live sessions of the caller's user: first the one that asks, then those that were
        used last.
        """
        found = [
            OwnSession(each, self._rules.idle_end(each), _is_current(each, principal))
            for each in await self._live(principal)
        ]
        return sorted(found, key=lambda one: (one.is_current, one.session.used_at), reverse=True)

    async def end(self, principal: Principal, session_id: str) -> None:
        """Sign one of the caller's browsers out. Raises SessionNotFoundError for what is no live
        session of the caller's user.
        """
        if session_id not in [each.session_id for each in await self._live(principal)]:
            raise SessionNotFoundError
        await self._revoke(principal, session_id)

    async def end_others(self, principal: Principal) -> int:
        """Sign all of the caller's browsers out but the one that asks; returns how many."""
        found = await self._live(principal)
        others = [each.session_id for each in found if not _is_current(each, principal)]
        return sum([await self._revoke(principal, session_id) for session_id in others])

    async def _live(self, principal: Principal) -> list[Session]:
        now = self._now()
        found = await self._sessions.of_user(principal.tenant, principal.user)
        return [each for each in found if self._rules.state(each, now) == LIVE]

    async def _revoke(self, principal: Principal, session_id: str) -> bool:
        # Its browser is to be told that it ended, so it is not deleted.
        entry = self._trail.entry(principal, AuditAction.SIGN_OUT, target=session_id)
        return await self._sessions.revoke(session_id, self._now(), entry)

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


def _is_current(session: Session, principal: Principal) -> bool:
    return principal.session is not None and principal.session.session_id == session.session_id
