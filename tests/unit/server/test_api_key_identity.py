"""Who a key's sender is, and that noting its use costs a request nothing."""

import asyncio
from datetime import timedelta

import pytest

from ci_common.errors import InvalidCredentialsError, UnauthenticatedError
from ci_common.identities import new_token, token_digest
from ci_common.principal import LOCAL_PRINCIPAL, Principal, Role
from ci_server.access.auth.api_keys import ApiKeyIdentity
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from support.identities import a_key, a_user
from support.jobs import Clock

pytestmark = pytest.mark.anyio


class Keys:
    """The port, in memory; recording can be held up."""

    def __init__(self):
        self.by_digest = {}
        self.users = 0
        self.asked = 0
        self.uses = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def add(self, token, key):
        self.users += 1
        self.by_digest[token_digest(token)] = key

    async def has_users(self):
        self.asked += 1
        return self.users > 0

    async def find_live(self, digest, at):
        key = self.by_digest.get(digest)
        return key if key and key.state(at) == "live" else None

    async def record_use(self, key_id, at):
        await self.go_on.wait()
        self.uses.append((key_id, at))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def keys():
    return Keys()


@pytest.fixture
async def identity(keys, clock):
    identity = ApiKeyIdentity(keys, clock)
    yield identity
    keys.go_on.set()
    await identity.close()


def sent(token, scheme="Bearer"):
    return Credentials({"authorization": f"{scheme} {token}"}, "127.0.0.1", "127.0.0.1")


async def test_a_key_is_its_user_with_its_role(identity, keys):
    token, key = a_key(a_user(tenant="acme"), role=Role.VIEWER)
    keys.add(token, key)
    principal = await identity.identify(sent(token, "bearer"))
    assert principal == Principal(
        "acme", "ann@example.com", Role.VIEWER, credential=f"key:{key.key_id}"
    )
    assert token not in repr(principal)


@pytest.mark.parametrize("token", ["", "eyJhbGciOi.J9.x", "CI_x", "xci_"])
async def test_what_is_no_key_is_for_others(identity, token):
    assert await identity.identify(sent(token)) is None
    assert await identity.identify(Credentials()) is None
    assert await identity.identify(sent(new_token(), "Basic")) is None


async def test_every_refusal_says_the_same(identity, keys, clock):
    told = set()
    expired, key = a_key(expires_at=clock() - timedelta(days=1))
    keys.add(expired, key)
    for token in (expired, new_token(), "ci_", "ci_ä" * 1000):
        with pytest.raises(InvalidCredentialsError) as refused:
            await identity.identify(sent(token))
        told.add(refused.value.message)
    assert len(told) == 1


async def test_nobody_is_asked_again_whether_there_are_users(identity, keys):
    assert not await identity.is_configured()
    assert not await identity.is_configured()
    assert keys.asked == 2
    keys.add(*a_key())
    assert await identity.is_configured()
    assert await identity.is_configured()
    assert keys.asked == 3


async def test_the_first_user_closes_the_server(identity, keys):
    authenticator = Authenticator([identity], LocalIdentity(insecure=False))
    nobody = Credentials({}, "127.0.0.1", "127.0.0.1")
    assert await authenticator.authenticate(nobody) == LOCAL_PRINCIPAL
    keys.users = 1
    with pytest.raises(UnauthenticatedError, match="API key"):
        await authenticator.authenticate(nobody)


async def test_a_request_does_not_wait_for_its_use_to_be_noted(identity, keys, clock):
    token, key = a_key()
    keys.add(token, key)
    keys.go_on.clear()
    async with asyncio.timeout(5):
        assert await identity.identify(sent(token))
    assert keys.uses == []
    keys.go_on.set()
    await identity.close()
    assert keys.uses == [(key.key_id, clock())]


async def test_a_use_is_noted_once_a_minute(identity, keys, clock):
    token, key = a_key()
    keys.add(token, key)
    times = []
    for _ in range(5):
        await identity.identify(sent(token))
        await identity.identify(sent(token))
        times.append(clock())
        clock.advance(40)
    await identity.close()
    assert keys.uses == [(key.key_id, times[at]) for at in (0, 2, 4)]


async def test_a_use_that_another_process_has_noted_is_not_noted_again(identity, keys, clock):
    token, key = a_key()
    object.__setattr__(key, "last_used_at", clock() - timedelta(seconds=30))
    keys.add(token, key)
    await identity.identify(sent(token))
    await identity.close()
    assert keys.uses == []


async def test_a_clock_that_was_set_back_does_not_make_every_request_write(identity, keys, clock):
    token, key = a_key()
    object.__setattr__(key, "last_used_at", clock() + timedelta(days=1))
    keys.add(token, key)
    for _ in range(3):
        await identity.identify(sent(token))
    await identity.close()
    assert len(keys.uses) == 1
