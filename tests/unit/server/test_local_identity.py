"""A server without identities: programs of its own machine, and nobody else."""

import pytest

from ci_common.addresses import is_loopback
from ci_common.errors import InvalidCredentialsError, NotLocalError, UnauthenticatedError
from ci_common.principal import LOCAL_PRINCIPAL, Principal, Role
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.request_host import host_of

pytestmark = pytest.mark.anyio

HERE = {"peer": "127.0.0.1", "local": "127.0.0.1"}


async def identify(headers=None, insecure=False, **addresses):
    credentials = Credentials(headers=headers or {}, **{**HERE, **addresses})
    return await LocalIdentity(insecure=insecure).identify(credentials)


@pytest.mark.parametrize(
    ("headers", "addresses"),
    [
        ({"host": "127.0.0.1:8000"}, {}),
        ({"host": "localhost"}, {}),
        ({"host": "LOCALHOST.:80"}, {}),
        ({"host": "[::1]:8000"}, {"peer": "::1", "local": "::1"}),
        ({}, {"peer": "::ffff:127.0.0.1"}),
        ({}, {"peer": None, "local": None}),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, {}),
    ],
)
async def test_programs_of_this_machine_are_the_single_user(headers, addresses):
    assert await identify(headers, **addresses) == LOCAL_PRINCIPAL


@pytest.mark.parametrize(
    ("headers", "addresses", "told"),
    [
        ({}, {"peer": "192.0.2.7"}, "loopback"),
        ({}, {"local": "192.0.2.1"}, "loopback"),
        ({"x-forwarded-for": "192.0.2.7"}, {}, "proxy"),
        ({"forwarded": "for=192.0.2.7"}, {}, "proxy"),
        ({"host": "evil.example:8000"}, {}, "evil.example"),
        ({"host": "127.0.0.1.evil.example"}, {}, "evil.example"),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, {}, "another origin"),
        ({"host": "localhost:8000", "origin": "http://localhost:3000"}, {}, "another origin"),
        ({"host": "localhost:8000", "origin": "null"}, {}, "another origin"),
        ({"host": "localhost:8000", "origin": "ftp://localhost:8000"}, {}, "another origin"),
        ({"host": "localhost:8000", "origin": "http://localhost"}, {}, "another origin"),
        ({"origin": "http://"}, {}, "another origin"),
        ({"x-forwarded-host": "localhost"}, {}, "proxy"),
        ({"x-forwarded-proto": "https"}, {}, "proxy"),
        ({"via": "1.1 proxy"}, {}, "proxy"),
    ],
)
async def test_others_are_refused_and_told_why(headers, addresses, told):
    with pytest.raises(NotLocalError, match=told) as refused:
        await identify(headers, **addresses)
    assert "ci-admin user create" in refused.value.message


# ------------------------------------------------------------------ what browsers say of requests

FOREIGN = ["cross-site", "same-site", "same-origin, cross-site", "SAME-ORIGIN", "", "other"]
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def fetched(site, **others):
    named = {f"sec-fetch-{name}": value for name, value in others.items()}
    return {"host": "localhost:8000", "sec-fetch-site": site, **named}


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("method", ["GET", "POST", None])
async def test_our_own_pages_and_what_the_user_opens_are_let_in(site, method):
    assert await identify(fetched(site), method=method) == LOCAL_PRINCIPAL
    headers = fetched(site, mode="cors", dest="empty")
    assert await identify(headers, method=method) == LOCAL_PRINCIPAL


@pytest.mark.parametrize("site", FOREIGN)
@pytest.mark.parametrize(
    ("method", "others"),
    [
        ("GET", {}),
        ("GET", {"mode": "no-cors", "dest": "image"}),
        ("GET", {"mode": "no-cors", "dest": "script"}),
        ("GET", {"mode": "cors", "dest": "empty"}),
        ("GET", {"mode": "navigate", "dest": "iframe"}),
        ("GET", {"mode": "navigate", "dest": "embed"}),
        ("GET", {"mode": "no-cors", "dest": "document"}),
        ("GET", {"mode": "websocket", "dest": "websocket"}),
        ("HEAD", {"mode": "navigate", "dest": "document"}),
        ("POST", {"mode": "navigate", "dest": "document"}),
        ("DELETE", {"mode": "navigate", "dest": "document"}),
        (None, {"mode": "navigate", "dest": "document"}),
    ],
)
async def test_pages_of_other_sites_are_refused(site, method, others):
    with pytest.raises(NotLocalError, match="web page of another site"):
        await identify(fetched(site, **others), method=method)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_links_of_other_sites_lead_here(site):
    assert await identify({**fetched(site), **NAVIGATION}, method="GET") == LOCAL_PRINCIPAL
    elsewhere = {**fetched(site), **NAVIGATION, "host": "evil"}
    with pytest.raises(NotLocalError, match="'evil'"):
        await identify(elsewhere, method="GET")


async def test_a_listed_origin_may_be_of_another_site():
    identity = LocalIdentity(insecure=False, origins=("https://app.example",))
    headers = fetched("cross-site", mode="cors", dest="empty")
    listed = Credentials({**headers, "origin": "https://app.example"}, **HERE, method="POST")
    assert await identity.identify(listed) == LOCAL_PRINCIPAL
    with pytest.raises(NotLocalError, match="another site"):
        await identity.identify(Credentials(headers, **HERE, method="GET"))


# ------------------------------------------------------------------ hosts


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:8000", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("ci.example.com:65535", "ci.example.com"),
        ("[::1]", "::1"),
        ("[::FFFF:127.0.0.1]:80", "::ffff:127.0.0.1"),
    ],
)
def test_hosts(header, host):
    assert host_of(header) == host


MALFORMED = [
    "",
    " ",
    ".",
    "localhost..",
    ".localhost",
    "local host",
    "localhost ",
    "localhost:",
    "localhost:x",
    "localhost:-1",
    "localhost:65536",
    "localhost:000080",
    "localhost:80:80",
    "localhost:80@evil.example",
    "user@localhost",
    "user:password@localhost:80",
    "localhost,localhost",
    "localhost, evil.example",
    "local%68ost",
    "localhost%00",
    "localhost%2eevil.example",
    "localhost/",
    "localhost#",
    "localhost?evil.example",
    "localhost\\evil.example",
    "http://localhost",
    "localhost\tevil.example",
    "localhost\n",
    "-localhost",
    "\uff4cocalhost",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[::1]evil.example",
    "[::1]:80@evil.example",
    "[::1%lo]",
    "[127.0.0.1]",
    "[localhost]",
    "[[::1]]",
    "[:::1]",
]


@pytest.mark.parametrize("header", MALFORMED)
async def test_malformed_hosts(header):
    assert host_of(header) is None
    with pytest.raises(NotLocalError, match="for the host"):
        await identify({"host": header})
    with pytest.raises(NotLocalError, match="for the host"):
        await identify({"host": header, "origin": f"http://{header}"})


@pytest.mark.parametrize("header", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0.0.0.0"])
async def test_other_spellings_of_addresses_are_not_ours(header):
    with pytest.raises(NotLocalError, match="for the host"):
        await identify({"host": header})


# ------------------------------------------------------------------ and the others


async def test_the_operator_may_insist():
    assert await identify(insecure=True, peer="192.0.2.7") == LOCAL_PRINCIPAL


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::1%lo"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.0.1", "example.com", "localhost.x"])
def test_not_loopback(host):
    assert not is_loopback(host)


class Known:
    """An identity that knows one token."""

    def __init__(self, configured=True):
        self.configured = configured

    async def is_configured(self):
        return self.configured

    def evidence(self, credentials):
        return credentials.bearer

    async def identify(self, credentials):
        known = Principal("acme", "ann", Role.VIEWER)
        return known if credentials.bearer == "known" else None


def authenticator(configured=True):
    return Authenticator([Known(configured)], LocalIdentity(insecure=False))


async def test_credentials_prove_who_one_is():
    principal = await authenticator().authenticate(
        Credentials({"authorization": "bearer known"}, **HERE)
    )
    assert principal.user == "ann"


async def test_with_identities_nobody_is_local():
    with pytest.raises(UnauthenticatedError):
        await authenticator().authenticate(Credentials(**HERE))


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("sent", [{"headers": {"authorization": "Bearer x"}}, {"token": "x"}])
async def test_credentials_that_nobody_knows_are_refused_even_here(configured, sent):
    with pytest.raises(InvalidCredentialsError):
        await authenticator(configured).authenticate(Credentials(**HERE, **sent))


async def test_without_identities_the_local_user_is_asked_for_nothing():
    principal = await authenticator(configured=False).authenticate(Credentials(**HERE))
    assert principal == LOCAL_PRINCIPAL


async def test_web_pages_of_origins_that_the_operator_lists_are_let_in():
    identity = LocalIdentity(insecure=False, origins=("http://localhost:3000",))
    headers = {"host": "localhost:8000", "origin": "http://localhost:3000"}
    assert await identity.identify(Credentials(headers, **HERE)) == LOCAL_PRINCIPAL
    with pytest.raises(NotLocalError, match="another origin"):
        await identity.identify(Credentials({**headers, "origin": "http://localhost:3001"}, **HERE))
