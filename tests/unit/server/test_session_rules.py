"""Sessions of browsers: how long, by which cookie, for which pages, and where to go afterwards."""

from datetime import timedelta

import pytest

from ci_common.errors import CrossOriginError, InvalidCredentialsError, SessionEndedError
from ci_common.identities import token_digest
from ci_common.job import utc_now
from ci_common.principal import Role
from ci_common.sessions import IssuedUser, Session
from ci_common.settings import SessionSettings, read_settings
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.sessions import SessionIdentity
from ci_server.access.oidc.attempt import Attempt, Attempts, safe_next
from ci_server.access.sessions.cookie import Cookie
from ci_server.access.sessions.rules import SessionRules
from ci_server.access.sessions.same_origin import OwnOrigin
from support.identities import a_key
from support.jobs import NOON

pytestmark = pytest.mark.anyio

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ISSUER = "https://login.example"
COOKIE = Cookie("ci-session", "1a2b3c4d5e6f", "Strict")
USER = IssuedUser(ISSUER, "acme", "ann", Role.VIEWER)


class Rows:
    """Port BrowserSessions: one session, whose token is `t`."""

    def __init__(self, session):
        self.session = session
        self.uses = []

    async def find(self, digest):
        return self.session if digest == token_digest("t") else None

    async def record_use(self, session_id, at):
        self.uses.append(at)


def coming(method="GET", value="t", *, is_secure=False, websocket=False, **headers):
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    cookie = {"cookie": f"{COOKIE.secure_name}={value}", "host": "ci.example"}
    return Credentials(
        {**cookie, **named}, method=method, is_secure=is_secure, is_websocket=websocket
    )


def identity_of(rows, now, issuer=ISSUER):
    rules = SessionRules(DAY, DAY, HOUR, 20, issuer)
    local = LocalIdentity(insecure=False)
    return SessionIdentity(rows, local, COOKIE, OwnOrigin(), rules, now)


async def state_at(session, later, issuer=ISSUER):
    """What somebody with the cookie is told then."""
    identity = identity_of(Rows(session), lambda: NOON + later, issuer)
    try:
        principal = await identity.identify(coming())
    except SessionEndedError as error:
        return error.message.partition("(")[2].partition(")")[0]
    return principal.user


async def test_a_session_ends_when_it_is_not_used_and_at_the_latest_when_it_has_to():
    session = Session("s", USER, NOON, NOON + DAY, NOON)
    just = timedelta(milliseconds=1)
    assert await state_at(session, HOUR - just) == "ann"
    assert await state_at(session, HOUR) == "idle"
    used = Session("s", USER, NOON, NOON + DAY, NOON + DAY - just)
    assert await state_at(used, DAY - just) == "ann"
    assert await state_at(used, DAY) == "expired"
    revoked = Session("s", USER, NOON, NOON + DAY, NOON, ended_at=NOON)
    assert await state_at(revoked, just) == "revoked"


async def test_a_session_ends_with_its_key_and_with_its_issuer():
    _, key = a_key(expires_at=NOON + HOUR / 2)
    session = Session("s", key, NOON, NOON + DAY, NOON)
    assert await state_at(session, HOUR / 4) == "ann@example.com"
    assert await state_at(session, HOUR / 2) == "key expired"
    issued = Session("s", USER, NOON, NOON + DAY, NOON)
    assert await state_at(issued, HOUR / 4, issuer="https://other.example") == "revoked"
    assert await state_at(issued, HOUR / 4, issuer=None) == "revoked"


async def test_uses_are_recorded_now_and_then():
    now = [NOON]
    rows = Rows(Session("s", USER, NOON, NOON + DAY, NOON))
    identity = identity_of(rows, lambda: now[0])
    for _ in range(300):
        now[0] += timedelta(seconds=1)
        await identity.identify(coming())
    await identity.close()
    assert len(rows.uses) == 5


async def test_other_credentials_come_before_the_cookie():
    identity = identity_of(Rows(None), lambda: NOON)
    for other in (coming(authorization="Bearer ci_x"), Credentials({}, token="st1.x")):
        assert identity.evidence(other) is None
        assert await identity.identify(other) is None
    with pytest.raises(InvalidCredentialsError):
        await identity.identify(coming(value="guess"))
    with pytest.raises(InvalidCredentialsError):
        await identity.identify(coming(value="t" * 10_000))


OWN, EVIL = "https://ci.example", "https://evil.example"
SAME_ORIGIN, SAME_SITE, CROSS = "same-origin", "same-site", "cross-site"
LINK = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}

ACCEPTED = [
    coming(),
    coming(sec_fetch_site="none"),
    coming(sec_fetch_site=SAME_ORIGIN),
    coming(sec_fetch_site=SAME_SITE, **LINK),
    coming("POST", sec_fetch_site=SAME_ORIGIN),
    coming("POST", sec_fetch_site="none"),
    coming("POST", sec_fetch_site=SAME_ORIGIN, origin="https://behind.a.proxy"),
    coming("POST", origin=OWN),
    coming("DELETE", origin="https://public.example"),
    coming(None, websocket=True, origin=OWN),
]
REFUSED = [
    coming("POST"),
    coming("DELETE"),
    coming("POST", origin=EVIL),
    coming("POST", origin="null"),
    coming("POST", origin=f"{OWN}:8443"),
    coming("POST", origin=f"{OWN}.evil.example"),
    coming("POST", sec_fetch_site=SAME_SITE, origin=OWN),
    coming("POST", sec_fetch_site=CROSS, **LINK),
    coming("POST", sec_fetch_site="something new"),
    coming(origin=EVIL),
    coming(sec_fetch_site=CROSS),
    coming(sec_fetch_site=SAME_SITE, sec_fetch_mode="no-cors", sec_fetch_dest="image"),
    coming(sec_fetch_site=CROSS, sec_fetch_mode="navigate", sec_fetch_dest="iframe"),
    coming(None, websocket=True),
    coming(None, websocket=True, origin=EVIL),
    coming(None, websocket=True, sec_fetch_site="none", origin=EVIL),
]


@pytest.mark.parametrize("credentials", ACCEPTED)
def test_pages_of_ours_may_use_the_cookie(credentials):
    OwnOrigin("https://public.example/ci").check(credentials)


@pytest.mark.parametrize("credentials", REFUSED)
def test_pages_of_others_and_requests_of_unknown_origin_may_not(credentials):
    with pytest.raises(CrossOriginError):
        OwnOrigin("https://public.example/ci").check(credentials)


def test_cookies_are_named_after_what_browsers_hold_them_to():
    below = Cookie("ci-session", "1a2b3c4d5e6f", "Strict", "/ci/")
    assert COOKIE.setting("v", 60, secure=True) == (
        "__Host-ci-session-1a2b3c4d=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
    )
    assert below.setting("v", 60, secure=True).startswith(
        "__Secure-ci-session-1a2b3c4d=v; Path=/ci/;"
    )
    assert COOKIE.setting("v", 60, secure=False) == (
        "ci-session-1a2b3c4d=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
    )


def test_what_others_may_have_planted_does_not_count_over_https():
    planted = {"cookie": f"{COOKIE.plain_name}=planted"}
    assert COOKIE.value(Credentials(planted, is_secure=True)) is None
    assert COOKIE.value(Credentials(planted)) == "planted"
    both = {"cookie": f"a=b; {COOKIE.plain_name}=planted;{COOKIE.secure_name}=own; c"}
    assert COOKIE.value(Credentials(both)) == "own"
    assert COOKIE.value(Credentials({"cookie": f"{COOKIE.plain_name}="})) is None
    assert COOKIE.value(Credentials({"cookie": "ci-session-ffffffff=of another port"})) is None


def test_a_browser_says_by_its_origin_that_it_speaks_https_to_an_unknown_proxy():
    assert OwnOrigin().is_https(coming("POST", origin=OWN))
    assert not OwnOrigin().is_https(coming("POST", origin="http://ci.example"))
    assert OwnOrigin(OWN).is_https(coming())
    assert not OwnOrigin(OWN).is_https(coming(origin="http://127.0.0.1:8000"))


@pytest.mark.parametrize(
    "path", ["/ui/", "/ui/jobs/1#L5", "/ui/?text=a%20b&label=a//b", "/ui/?next=https://x/../y"]
)
def test_one_comes_back_to_pages_of_ours(path):
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [None, "", "/", "/jobs", "//evil.example/ui/", "https://evil.example/ui/", "/ui", "ui/jobs",
     "/ui/../jobs", "/ui/%2e%2E/jobs", "/ui/.%2e/x", "/ui//evil.example", "/ui/\\evil.example",
     "/ui/%5cevil", "/ui/a%2f..", "/ui/\n", "/ui/é", "/ui/x" + "y" * 1000, "javascript:alert(1)"],
)  # fmt: skip
def test_one_goes_nowhere_else(path):
    assert safe_next(path) == "/ui/"


def test_an_attempt_is_known_again_for_ten_minutes_by_whoever_has_the_key():
    now = utc_now()
    attempt = Attempt.begin("/ui/jobs/1")
    sealed = Attempts(b"k" * 32).sealed(attempt, now)
    assert Attempts(b"k" * 32).opened(sealed) == attempt
    old = Attempts(b"k" * 32).sealed(attempt, now - timedelta(minutes=11))
    for wrong in (None, "", "x", sealed[:-2], old, Attempts(b"o" * 32).sealed(attempt, now)):
        with pytest.raises(InvalidCredentialsError):
            Attempts(b"k" * 32).opened(wrong)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OIDC_ISSUER", "http://login.example", "must be https"),
        ("OIDC_ISSUER", "login.example", "must be the URL"),
        ("OIDC_ISSUER", "https://login.example", "CI_OIDC_CLIENT_ID"),
        ("OIDC_SCOPES", "email", "openid"),
        ("OIDC_REQUIRED_CLAIM", "groups", "groups=ci-users"),
        ("SESSION_IDLE_SECONDS", "1", "CI_SESSION_IDLE_SECONDS"),
    ],
)
def test_settings_that_cannot_be_are_told(monkeypatch, name, value, told):
    monkeypatch.setenv(f"CI_{name}", value)
    with pytest.raises(Exception, match=told):
        read_settings(SessionSettings)
