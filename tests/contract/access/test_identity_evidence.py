"""Every identity has evidence for what it goes by, so that none escapes the login throttle."""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ci_common.errors import (
    InvalidCredentialsError,
    TooManyAttemptsError,
    UnauthenticatedError,
)
from ci_common.identities import new_token, token_digest
from ci_common.principal import Principal, Role
from ci_common.sessions import Session, new_session_token
from ci_server.access import auth
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.api_keys import ApiKeyIdentity
from ci_server.access.auth.authenticator import Authenticator, Identity
from ci_server.access.auth.certificates import CertificateIdentity
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.iap import (
    ASSERTION_HEADER,
    EMAIL_HEADER,
    IAP_ISSUER,
    DeveloperIdentity,
    IapAssertionIdentity,
    IapHeaderIdentity,
    ProxyUsers,
)
from ci_server.access.auth.jwt_identity import JwtIdentity
from ci_server.access.auth.jwt_verifier import JwtVerifier
from ci_server.access.auth.key_cache import KeyCache
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.sessions import SessionIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens
from ci_server.access.limits.failed_logins import FailureLimits, ThrottledAuthenticator
from ci_server.access.sessions.cookie import Cookie
from ci_server.access.sessions.rules import SessionRules
from ci_server.access.sessions.same_origin import OwnOrigin
from ci_worker.authority import Authority
from support.identities import a_key
from support.issuer import AUDIENCE, ISSUER, jwk, key_set, token
from support.jobs import NOON

pytestmark = pytest.mark.anyio

PROXY, OUTSIDE = "10.0.0.7", "192.0.2.1"
USERS = ProxyUsers("acme", Role.SUBMITTER)
IAP_AUDIENCE = "/projects/1/global/backendServices/2"


class PublishedKeys:
    """An issuer's key set (see KeySetFetcher)."""

    url = "https://issuer.example/jwks.json"

    async def fetch(self):
        return key_set(jwk("ES256"))

    async def close(self):
        """Nothing is open."""


class OneKey:
    """Port IssuedKeys."""

    def __init__(self, secret):
        self._digest = token_digest(secret)
        self._key = a_key()[1]

    async def has_users(self):
        return True

    async def find_live(self, digest, _at):
        return self._key if digest == self._digest else None

    async def record_use(self, key_id, at):
        """Not looked at here."""


@dataclass(frozen=True)
class Case:
    """An identity, and who comes to it; without a `guess` it goes by the place they come from."""

    identity: Identity
    good: Credentials
    guess: Credentials | None


def bearer(text):
    return Credentials({"authorization": f"Bearer {text}"}, client=OUTSIDE)


def by_key():
    secret = new_token()
    return Case(ApiKeyIdentity(OneKey(secret), lambda: NOON), bearer(secret), bearer(new_token()))


def verifier(issuer, audience):
    return JwtVerifier(KeyCache(PublishedKeys()), issuer, audience, frozenset({"ES256"}))


def by_jwt():
    identity = JwtIdentity(verifier(ISSUER, AUDIENCE), Role.SUBMITTER)
    return Case(identity, bearer(token("ES256")), bearer(token("ES256", name="other")))


def by_assertion():
    claims = {"iss": IAP_ISSUER, "aud": IAP_AUDIENCE, "email": "ann@example.com"}
    good = Credentials({ASSERTION_HEADER: token("ES256", **claims)}, client=OUTSIDE)
    guess = Credentials({ASSERTION_HEADER: token("ES256", name="other", **claims)}, client=OUTSIDE)
    return Case(IapAssertionIdentity(verifier(IAP_ISSUER, IAP_AUDIENCE), USERS), good, guess)


def by_proxy():
    def named(email):
        return Credentials({EMAIL_HEADER: email}, peer=PROXY, client=OUTSIDE)

    identity = IapHeaderIdentity(TrustedProxies.parse(PROXY), USERS)
    return Case(identity, named("accounts.google.com:ann@example.com"), named("ann"))


def by_stream_token():
    giver = Principal("acme", "ann", Role.SUBMITTER, "key")
    tokens = StreamTokens(b"k" * 32, 60, lambda: NOON)
    others = StreamTokens(b"o" * 32, 60, lambda: NOON)
    good, guess = (
        Credentials(token=of.issue(giver, "j1").token, client=OUTSIDE) for of in (tokens, others)
    )
    return Case(StreamTokenIdentity(tokens), good, guess)


class OneSession:
    """Port BrowserSessions."""

    def __init__(self, secret):
        self._digest = token_digest(secret)

    async def find(self, digest):
        if digest != self._digest:
            return None
        ends = NOON + timedelta(days=1)
        return Session("s1", a_key()[1], begun_at=NOON, ends_at=ends, used_at=NOON)

    async def record_use(self, session_id, at):
        """Not looked at here."""


def by_session():
    secret = new_session_token()
    cookie = Cookie("ci-session", "1a2b3c4d5e", "Strict")
    day = timedelta(days=1)
    identity = SessionIdentity(
        OneSession(secret),
        ApiKeyIdentity(OneKey("ci_x"), lambda: NOON),
        cookie,
        OwnOrigin(),
        SessionRules(day, day, day, 20),
        lambda: NOON,
    )

    def holding(token):
        headers = {"cookie": f"theme=dark; {cookie.secure_name}={token}"}
        return Credentials(headers, client=OUTSIDE, method="GET")

    return Case(identity, holding(secret), holding(new_session_token()))


def by_certificate():
    authority = Authority.create("local")
    pairs = [authority.client("ann", "acme", "admin") for _ in range(2)]
    good, guess = (
        Credentials(certificate=pair.certificate.public_bytes(Encoding.DER), client=OUTSIDE)
        for pair in pairs
    )
    revoked = pairs[1].certificate.serial_number
    return Case(CertificateIdentity(lambda serial: serial == revoked), good, guess)


def locally(identity):
    return Case(identity, Credentials(peer="127.0.0.1", client="127.0.0.1"), None)


CASES = {
    ApiKeyIdentity: by_key,
    JwtIdentity: by_jwt,
    IapAssertionIdentity: by_assertion,
    IapHeaderIdentity: by_proxy,
    StreamTokenIdentity: by_stream_token,
    CertificateIdentity: by_certificate,
    SessionIdentity: by_session,
    LocalIdentity: lambda: locally(LocalIdentity(insecure=False)),
    DeveloperIdentity: lambda: locally(DeveloperIdentity(USERS)),
}
BY_PLACE = {LocalIdentity, DeveloperIdentity}
GUESSED = [kind for kind in CASES if kind not in BY_PLACE]
THROTTLED = [kind for kind in GUESSED if kind is not StreamTokenIdentity]
"""Nobody guesses a token for one job; see ThrottledAuthenticator."""


def identities_of_the_server():
    """Every class of the package that proves who somebody is."""
    modules = [
        importlib.import_module(f"{auth.__name__}.{module.name}")
        for module in pkgutil.iter_modules(auth.__path__)
    ]
    found = {each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)}
    return {each for each in found if hasattr(each, "identify") and each is not Identity}


@pytest.fixture(params=CASES, ids=lambda kind: kind.__name__)
async def case(request):
    return CASES[request.param]()


@pytest.fixture(params=GUESSED, ids=lambda kind: kind.__name__)
async def guessed(request):
    return CASES[request.param]()


def test_no_identity_is_forgotten_here():
    assert identities_of_the_server() == CASES.keys()


def test_an_identity_that_forgets_its_evidence_cannot_be_made():
    class Forgetful(Identity):
        async def is_configured(self):
            return True

        async def identify(self, credentials):
            return None

    with pytest.raises(TypeError, match="evidence"):
        Forgetful()


@pytest.mark.parametrize("kind", CASES)
def test_every_identity_names_its_port(kind):
    assert Identity in kind.__mro__


async def test_whoever_is_authenticated_has_shown_evidence_or_comes_from_a_place(case):
    assert await case.identity.identify(case.good)
    shown = case.identity.evidence(case.good)
    nothing = replace(case.good, headers={}, token=None, certificate=None)
    if case.guess is None:
        assert shown is None
        assert await case.identity.identify(nothing)
    else:
        assert shown
        assert await case.identity.identify(nothing) is None
    assert case.identity.evidence(nothing) is None


async def test_a_guess_is_refused_and_is_evidence_of_its_own(guessed):
    with pytest.raises(InvalidCredentialsError):
        await guessed.identity.identify(guessed.guess)
    assert guessed.identity.evidence(guessed.guess) not in (
        None,
        guessed.identity.evidence(guessed.good),
    )


@pytest.mark.parametrize("kind", THROTTLED)
async def test_guesses_are_throttled_and_what_was_good_goes_on(kind):
    case = CASES[kind]()
    authenticator = ThrottledAuthenticator(
        Authenticator([case.identity], LocalIdentity(insecure=False)),
        FailureLimits(per_minute=3),
        lambda: 1000.0,
    )
    await authenticator.authenticate(case.good)
    for _ in range(3):
        with pytest.raises(InvalidCredentialsError):
            await authenticator.authenticate(case.guess)
    with pytest.raises(TooManyAttemptsError):
        await authenticator.authenticate(case.guess)
    await authenticator.authenticate(case.good)


async def test_a_header_that_no_identity_reads_is_a_failure_and_a_cookie_is_none():
    authenticator = ThrottledAuthenticator(
        Authenticator([by_key().identity], LocalIdentity(insecure=False)),
        FailureLimits(per_minute=1),
        lambda: 1000.0,
    )
    basic = Credentials({"authorization": "Basic YW5uOnBhc3N3b3Jk"}, client=OUTSIDE)
    with pytest.raises(InvalidCredentialsError):
        await authenticator.authenticate(basic)
    with pytest.raises(TooManyAttemptsError):
        await authenticator.authenticate(basic)
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(Credentials({"cookie": "session=1"}, client=OUTSIDE))
