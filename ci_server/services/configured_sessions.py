"""Browser sessions, as the settings want them."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from ci_common.job import utc_now
from ci_common.ports.identities import IssuedKeys
from ci_common.ports.sessions import BrowserSessions
from ci_common.settings import Settings
from ci_server.access.audit_trail import AuditTrail
from ci_server.access.auth.authenticator import Identity
from ci_server.access.auth.sessions import SessionIdentity
from ci_server.access.oidc.configured import configured_login
from ci_server.access.oidc.login import OidcLogin
from ci_server.access.sessions.cookie import Cookie
from ci_server.access.sessions.rules import SessionRules
from ci_server.access.sessions.same_origin import OwnOrigin
from ci_server.services.sessions import SessionService


@dataclass(frozen=True, slots=True)
class Sessions:
    """Browser sessions, and what their cookies are like."""

    service: SessionService
    identity: SessionIdentity
    cookie: Cookie
    own_origin: OwnOrigin
    login: OidcLogin | None
    """Signing in with an issuer, where there is one."""
    attempt_cookie: Cookie

    async def close(self) -> None:
        """Before the database closes."""
        await self.identity.close()
        if self.login is not None:
            await self.login.close()


def configured_sessions(
    settings: Settings,
    rows: BrowserSessions,
    keys: IssuedKeys,
    api_keys: Identity,
    audit: AuditTrail,
    instance_id: str,
    key: bytes,
) -> Sessions:
    """Of one server process. `key` is the one that all processes on the data directory share.
    Raises SettingsError.
    """
    rules = SessionRules(
        lasts=timedelta(seconds=settings.session_seconds),
        issued_lasts=timedelta(seconds=settings.oidc_session_seconds),
        idle=timedelta(seconds=settings.session_idle_seconds),
        most_per_user=settings.max_sessions_per_user,
        issuer=settings.oidc_issuer,
    )
    # Below a path of a proxy, the other services of its host are not to get the cookie.
    path = urlsplit(settings.public_url or "").path.rstrip("/") + "/"
    cookie = Cookie("ci-session", instance_id, "Strict", path)
    own_origin = OwnOrigin(settings.public_url)
    return Sessions(
        SessionService(rows, keys, rules, audit, utc_now),
        SessionIdentity(rows, api_keys, cookie, own_origin, rules, utc_now),
        cookie,
        own_origin,
        configured_login(settings, key, utc_now),
        Cookie("ci-oidc", instance_id, "Lax", path),
    )
