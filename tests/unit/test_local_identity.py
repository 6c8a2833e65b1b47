"""A server without identities: programs of its own machine, and nobody else."""

import pytest

from ci_common.addresses import is_loopback
from ci_common.errors import InvalidCredentialsError, NotLocalError, UnauthenticatedError
from ci_common.principal import LOCAL_PRINCIPAL, Principal, Role
from ci_server.auth.authenticator import Authenticator
from ci_server.auth.credentials import Credentials
from ci_server.auth.local import LocalIdentity

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
    ],
)
async def test_others_are_refused_and_told_why(headers, addresses, told):
    with pytest.raises(NotLocalError, match=told) as refused:
        await identify(headers, **addresses)
    assert "ci-admin user create" in refused.value.message


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
