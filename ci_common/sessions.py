"""Browser sessions: what the cookie of a signed-in browser stands for.

A cookie holds 256 random bits, of which only the SHA-256 is kept, as of an API key. A session
stands for an API key, and has its rights for as long as the key is live; or for a user whom an
OpenID Connect issuer named.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from ci_common.identities import ApiKey
from ci_common.principal import Role

_TOKEN_BYTES = 32
_MOST_AGENT = 200

LIVE = "live"
REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class IssuedUser:
    """Whom an issuer named when the session began. It is not asked again while that lasts."""

    issuer: str
    tenant: str
    user: str
    role: Role
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What is known about a session; its token is not."""

    session_id: str
    stands_for: ApiKey | IssuedUser
    begun_at: datetime
    ends_at: datetime
    """Whatever happens, it is over then."""
    used_at: datetime
    """Accurate to a minute or so."""
    ended_at: datetime | None = None
    """When an operator revoked it, or its user signed it out from elsewhere."""
    address: str | None = None
    """Where it began."""
    agent: str | None = None
    """What the browser calls itself."""

    @property
    def tenant(self) -> str:
        """Of its user."""
        who = self.stands_for
        return who.user.tenant if isinstance(who, ApiKey) else who.tenant

    @property
    def user(self) -> str:
        """As jobs name them."""
        who = self.stands_for
        return who.user.email if isinstance(who, ApiKey) else who.user

    @property
    def key_id(self) -> str | None:
        """Of the API key that it stands for."""
        return self.stands_for.key_id if isinstance(self.stands_for, ApiKey) else None

    @property
    def issuer(self) -> str | None:
        """Who named its user, where it stands for no API key."""
        return self.stands_for.issuer if isinstance(self.stands_for, IssuedUser) else None

    def state(self, at: datetime, idle: timedelta) -> str:
        """`live`, `revoked`, `expired`, `idle`; or `key revoked`, `key expired`, `key disabled`."""
        if self.ended_at is not None:
            return REVOKED
        if at >= self.ends_at:
            return "expired"
        if at >= self.used_at + idle:
            return "idle"
        if isinstance(self.stands_for, ApiKey) and (of_key := self.stands_for.state(at)) != LIVE:
            return f"key {of_key}"
        return LIVE


def new_session_token() -> str:
    """What the cookie holds. It is never stored."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def new_session_id() -> str:
    """What names a session where its token must not be shown."""
    return secrets.token_hex(6)


def shown_agent(header: str | None) -> str | None:
    """A `User-Agent` as it is kept: printable, and not long."""
    if not header:
        return None
    return "".join(c if c.isprintable() else "?" for c in header[:_MOST_AGENT])
