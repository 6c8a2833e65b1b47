"""Browser sessions: the cookie that a browser got when its user signed in."""

from collections.abc import Callable
from datetime import datetime

from typing_extensions import override

from ci_common.errors import InvalidCredentialsError, SessionEndedError
from ci_common.identities import ApiKey, token_digest
from ci_common.ports.sessions import BrowserSessions
from ci_common.principal import KeyFacts, Origin, Principal, SessionFacts
from ci_common.sessions import LIVE, IssuedUser, Session
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.last_use import RECORDED_EVERY, LastUse
from ci_server.access.sessions.cookie import Cookie
from ci_server.access.sessions.rules import SessionRules
from ci_server.access.sessions.same_origin import OwnOrigin

_MOST_CHARACTERS = 128
_USES_PER_IDLE_TIME = 10


class SessionIdentity(Identity):
    """The user of a live session, with the rights of the API key that it stands for.

    Nothing is remembered about sessions, so that one is worthless as soon as it, or its key, is
    revoked. A request that has other credentials is theirs, whatever cookie comes with it.
    """

    def __init__(
        self,
        sessions: BrowserSessions,
        api_keys: Identity,
        cookie: Cookie,
        own_origin: OwnOrigin,
        rules: SessionRules,
        now: Callable[[], datetime],
    ) -> None:
        self._sessions = sessions
        self._api_keys = api_keys
        self._cookie = cookie
        self._own_origin = own_origin
        self._rules = rules
        self._now = now
        every = min(RECORDED_EVERY, rules.idle / _USES_PER_IDLE_TIME)
        self._last_use = LastUse("a session", sessions.record_use, every)

    @override
    async def is_configured(self) -> bool:
        """Whether there is a way to sign in."""
        return self._rules.issuer is not None or await self._api_keys.is_configured()

    @override
    def evidence(self, credentials: Credentials) -> str | None:
        """The session's token, unless there are credentials that count before it."""
        if "authorization" in credentials.headers or credentials.token is not None:
            return None
        return self._cookie.value(credentials)

    @override
    async def identify(self, credentials: Credentials) -> Principal | None:
        """The session's user. Raises InvalidCredentialsError for one that is not known,
        SessionEndedError for one that is over, CrossOriginError when the page of another origin
        asks.
        """
        token = self.evidence(credentials)
        if token is None:
            return None
        self._own_origin.check(credentials)
        session = None
        if len(token) <= _MOST_CHARACTERS:
            session = await self._sessions.find(token_digest(token))
        if session is None:
            raise InvalidCredentialsError("this session is unknown: sign in again")
        now = self._now()
        self._check_is_live(session, now)
        self._last_use.note(session.session_id, session.used_at, now)
        return principal_of(session)

    async def close(self) -> None:
        """Let what is being recorded be recorded, for a moment. Before the database closes."""
        await self._last_use.close()

    def _check_is_live(self, session: Session, now: datetime) -> None:
        state = self._rules.state(session, now)
        if state != LIVE:
            raise SessionEndedError(f"your session has ended ({state}): sign in again")


_NOWHERE = Origin()


def principal_of(session: Session, origin: Origin = _NOWHERE) -> Principal:
    """Its user."""
    who = session.stands_for
    facts = SessionFacts(session.session_id, session.ends_at)
    of_key = f" of key:{who.key_id}" if isinstance(who, ApiKey) else ""
    return Principal(
        tenant=session.tenant,
        user=session.user,
        role=who.role,
        credential=f"session:{session.session_id}{of_key}",
        origin=origin,
        email=who.email if isinstance(who, IssuedUser) else None,
        key=KeyFacts(who.prefix, who.name, who.expires_at) if isinstance(who, ApiKey) else None,
        session=facts,
    )
