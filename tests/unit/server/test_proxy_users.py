"""Users that a proxy in front names, and the developer who has none."""

import pytest
from pydantic import ValidationError

from ci_common.errors import InvalidCredentialsError, UnauthenticatedError
from ci_common.principal import Principal, Role
from ci_common.settings import Settings
from ci_server.access.auth.addresses import UNKNOWN, TrustedProxies
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.configured_identities import ConfiguredIdentities
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.iap import (
    DeveloperIdentity,
    IapAssertionIdentity,
    IapHeaderIdentity,
    ProxyUsers,
)
from ci_server.access.auth.jwt_identity import JwtIdentity
from ci_server.access.auth.local import LocalIdentity

pytestmark = pytest.mark.anyio

USERS = ProxyUsers("acme", Role.SUBMITTER)
ANN = "accounts.google.com:Ann@example.com"
HERE = {"peer": "127.0.0.1", "local": "127.0.0.1"}


async def by_header(value, peer="10.0.0.7", **headers):
    identity = IapHeaderIdentity(TrustedProxies.parse("10.0.0.7"), USERS)
    sent = {"x-goog-authenticated-user-email": value, **headers}
    return await identity.identify(Credentials(sent, peer=peer))


async def test_a_trusted_proxy_names_the_user():
    expected = Principal("acme", "ann@example.com", Role.SUBMITTER, "iap-header")
    assert await by_header(ANN) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", UNKNOWN, "", None])
async def test_from_elsewhere_the_header_is_not_there(peer):
    assert await by_header(ANN, peer) is None
    assert await by_header(ANN, peer, **{"x-forwarded-for": "10.0.0.7"}) is None
    assert await by_header("garbage", peer) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ann@example.com",
        "accounts.google.com:",
        "accounts.google.com:ann",
        "evil.example:ann@example.com",
        f"{ANN}, accounts.google.com:bob@example.com",
        "accounts.google.com:ann@example.com extra",
        "accounts.google.com:" + "a" * 300 + "@example.com",
    ],
)
async def test_a_proxy_that_names_nobody_is_refused(value):
    with pytest.raises(InvalidCredentialsError, match="is not of the form"):
        await by_header(value)


async def by_developer(headers=None, **addresses):
    credentials = Credentials(headers or {"host": "localhost:8000"}, **{**HERE, **addresses})
    return await DeveloperIdentity(USERS).identify(credentials)


async def test_in_development_a_program_of_this_machine_is_a_user_of_the_proxy():
    expected = Principal("acme", "dev@example.com", Role.SUBMITTER, "development")
    assert await by_developer() == expected


@pytest.mark.parametrize(
    ("headers", "addresses"),
    [
        ({}, {"peer": "192.0.2.1"}),
        ({}, {"peer": UNKNOWN}),
        ({}, {"local": "192.0.2.1"}),
        ({"x-forwarded-for": "192.0.2.1"}, {}),
        ({"host": "evil.example"}, {}),
        ({"origin": "https://evil.example", "host": "localhost"}, {}),
        ({"authorization": "Bearer wrong"}, {}),
        ({}, {"token": "wrong"}),
    ],
)
async def test_others_are_nobody_even_in_development(headers, addresses):
    assert await by_developer(headers, **addresses) is None
    authenticator = Authenticator([DeveloperIdentity(USERS)], LocalIdentity(insecure=True))
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(Credentials(headers, **{**HERE, **addresses}))


async def test_pages_of_the_listed_origins_are_let_in_by_the_developer():
    listed = "http://localhost:3000"
    (developer,) = ConfiguredIdentities(
        Settings(environment="development", cors_origins=listed)
    ).developer
    for origin, expected in ((listed, "dev@example.com"), ("http://localhost:4000", None)):
        headers = {"origin": origin, "host": "localhost:8000"}
        found = await developer.identify(Credentials(headers, **HERE))
        assert (found and found.user) == expected


# ------------------------------------------------------------------ settings

JWT = {
    "jwt_jwks_url": "https://issuer.example/jwks.json",
    "jwt_issuer": "https://issuer.example",
    "jwt_audience": "ci",
}


def identities(**settings):
    issued = ConfiguredIdentities(Settings(**settings))
    return [type(each) for each in (*issued.jwt, *issued.proxy, *issued.developer)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        (JWT, [JwtIdentity]),
        ({"iap_audience": "/projects/1"}, [IapAssertionIdentity]),
        ({"trusted_proxies": "10.0.0.7"}, [IapHeaderIdentity]),
        ({"trusted_proxies": "10.0.0.7", "iap_header": False}, []),
        ({"trusted_proxies": "10.0.0.7", "iap_audience": "/p"}, [IapAssertionIdentity]),
        ({"iap_header": True}, []),
        ({"environment": "development"}, [DeveloperIdentity]),
        (
            {
                **JWT,
                "trusted_proxies": "10.0.0.7",
                "iap_audience": "/p",
                "iap_header": True,
                "environment": "development",
            },
            [JwtIdentity, IapAssertionIdentity, IapHeaderIdentity, DeveloperIdentity],
        ),
    ],
)
def test_which_identities_the_settings_want(settings, expected):
    assert identities(**settings) == expected


@pytest.mark.parametrize("missing", JWT)
def test_jwts_are_set_up_whole_or_not_at_all(missing):
    settings = {**JWT, "jwt_issuer": "an issuer that is no URL"}
    del settings[missing]
    with pytest.raises(ValidationError, match=f"CI_{missing.upper()} missing"):
        Settings(**settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwt_jwks_url", "http://issuer.example/jwks.json"),
        ("jwt_jwks_url", "http://127.0.0.1.evil.example/jwks.json"),
        ("jwt_jwks_url", "file:///etc/passwd"),
        ("jwt_jwks_url", "issuer.example"),
        ("jwt_jwks_url", "https://"),
        ("jwt_issuer", ""),
        ("iap_jwks_url", "http://issuer.example/keys"),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("environment", "staging"),
        ("iap_role", "root"),
        ("stream_token_seconds", 3601),
        ("stream_token_seconds", 0),
    ],
)
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ValidationError, match=name):
        Settings(**{**JWT, name: value})


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_keys_of_this_machine_need_no_certificate(host):
    url = f"http://{host}:8080/jwks.json"
    assert Settings(**{**JWT, "jwt_jwks_url": url}).jwt_jwks_url == url
