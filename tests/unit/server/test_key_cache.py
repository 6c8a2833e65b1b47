"""The issuer's keys, from a real server that rotates, dies, and misbehaves."""

import asyncio
import gzip
import logging
import time

import pytest

from ci_common.errors import InvalidCredentialsError, NotReadyError
from ci_common.principal import Role
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.jwt_identity import JwtIdentity
from ci_server.access.auth.jwt_verifier import JwtVerifier
from ci_server.access.auth.key_cache import PAUSE_SECONDS, REFRESH_SECONDS, STALE_SECONDS, KeyCache
from ci_server.access.auth.key_fetch import KeySetFetcher, KeySetUnavailableError
from support.issuer import AUDIENCE, ISSUER, KeySetServer, jwk, key_set, token
from support.waiting import until

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuer():
    with KeySetServer(jwk("ES256")) as server:
        yield server


@pytest.fixture
async def cache(issuer, clock):
    cache = KeyCache(KeySetFetcher(issuer.url, deadline_seconds=60), clock)
    yield cache
    issuer.go_on.set()
    await cache.close()


@pytest.fixture
def identity(cache):
    return JwtIdentity(JwtVerifier(cache, ISSUER, AUDIENCE), Role.SUBMITTER)


async def identify(identity, bearer):
    return await identity.identify(Credentials({"authorization": f"Bearer {bearer}"}))


async def refused(identity, bearer):
    with pytest.raises(InvalidCredentialsError):
        await identify(identity, bearer)


async def not_ready(identity, bearer):
    """Refused for now; the seconds to wait."""
    with pytest.raises(NotReadyError, match="cannot fetch the keys") as error:
        await identify(identity, bearer)
    return error.value.retry_after


async def test_keys_are_fetched_once_for_many(identity, issuer):
    issuer.go_on.clear()
    asking = [asyncio.create_task(identify(identity, token())) for _ in range(20)]
    await until(lambda: issuer.requests)
    issuer.go_on.set()
    assert {principal.user for principal in await asyncio.gather(*asking)} == {"ann"}
    await identify(identity, token())
    assert issuer.requests == 1


async def test_a_new_key_is_fetched_when_it_is_first_seen(identity, issuer, clock):
    await identify(identity, token())
    issuer.serve(jwk("ES256"), jwk("RS256", "k2"))
    await refused(identity, token("RS256", "k2"))  # too soon after the last fetch
    clock.now += PAUSE_SECONDS
    assert await identify(identity, token("RS256", "k2"))
    assert issuer.requests == 2


async def test_a_new_key_without_a_name_is_found_too(identity, issuer, clock):
    issuer.serve(jwk("ES256", None))
    await identify(identity, token(kid=None))
    issuer.serve(jwk("ES256", None, "new"))
    clock.now += PAUSE_SECONDS
    assert await identify(identity, token(kid=None, name="new"))


async def test_a_flood_of_unknown_keys_is_one_fetch_a_pause(identity, issuer, clock):
    await identify(identity, token())
    for pause in range(1, 4):
        clock.now += PAUSE_SECONDS
        forged = [token(kid=f"flood-{pause}-{n}", name="thief") for n in range(50)]
        await asyncio.gather(*[refused(identity, each) for each in forged])
        assert issuer.requests == 1 + pause


async def test_forgeries_of_a_known_key_cause_no_fetch(identity, issuer, clock):
    await identify(identity, token())
    clock.now += PAUSE_SECONDS
    await refused(identity, token(name="thief"))
    assert issuer.requests == 1


async def test_a_withdrawn_key_is_dropped_by_age(identity, issuer, cache, clock):
    await identify(identity, token())
    issuer.serve(jwk("ES256", "k2", "new"))
    clock.now += REFRESH_SECONDS + 1
    assert await identify(identity, token())  # not kept waiting for the fetch
    await until(lambda: issuer.requests == 2)
    await until(lambda: cache._flight is None)
    await refused(identity, token())


async def test_old_keys_are_honoured_while_the_endpoint_is_down(identity, issuer, clock, caplog):
    caplog.set_level(logging.WARNING)
    await identify(identity, token())
    issuer.stop()
    clock.now += REFRESH_SECONDS + 1
    assert await identify(identity, token())
    await until(lambda: "stay in use" in caplog.text)
    clock.now += PAUSE_SECONDS
    assert await not_ready(identity, token(kid="new")) == PAUSE_SECONDS  # it may be a good one
    await refused(identity, token(name="thief"))
    assert await identify(identity, token())


async def test_but_not_for_ever(identity, issuer, clock):
    await identify(identity, token())
    issuer.stop()
    clock.now += STALE_SECONDS + 1
    assert await not_ready(identity, token()) == PAUSE_SECONDS


async def test_a_new_key_that_came_during_an_outage_is_good_afterwards(identity, issuer, clock):
    await identify(identity, token())
    issuer.status = 503
    issuer.serve(jwk("ES256", "k2", "new"))
    clock.now += PAUSE_SECONDS
    assert await not_ready(identity, token(kid="k2", name="new")) == PAUSE_SECONDS
    clock.now += PAUSE_SECONDS - 0.5
    assert await not_ready(identity, token(kid="k2", name="new")) == 1
    issuer.status = 200
    clock.now += 0.5
    assert await identify(identity, token(kid="k2", name="new"))
    await refused(identity, token())  # whose key was withdrawn


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"<html>no</html>", 200, {}),
        (b"", 200, {}),
        (key_set(), 200, {}),
        (key_set({"kty": "oct", "k": "AAAA"}), 200, {}),
        (key_set(jwk("ES256", "k2")), 500, {}),
        (key_set(jwk("ES256", "k2")), 404, {}),
        (b" " * (10 << 20), 200, {}),
        (gzip.compress(key_set(jwk("ES256", "k2"))), 200, {"Content-Encoding": "gzip"}),
        (b"", 302, {"Location": "https://evil.example/jwks.json"}),
    ],
    ids=["html", "empty", "no-keys", "no-use", "500", "404", "10-MB", "gzip", "redirect"],
)
async def test_what_is_no_key_set_changes_nothing(
    identity, issuer, clock, caplog, body, status, headers
):
    await identify(identity, token())
    issuer.body, issuer.status, issuer.headers = body, status, headers
    clock.now += PAUSE_SECONDS
    await not_ready(identity, token(kid="k2"))
    assert issuer.requests == 2
    assert "the cached keys stay in use" in caplog.text
    assert await identify(identity, token())


async def test_a_redirect_back_to_the_same_server_is_not_followed_either(issuer):
    issuer.status, issuer.headers = 307, {"Location": issuer.url}
    fetcher = KeySetFetcher(issuer.url)
    with pytest.raises(KeySetUnavailableError, match="307"):
        await fetcher.fetch()
    await fetcher.close()
    assert issuer.requests == 1


async def test_an_endpoint_that_hangs_holds_up_nobody_with_a_known_key(cache, identity, issuer):
    await identify(identity, token())
    issuer.go_on.clear()
    cache._asked_at = float("-inf")
    unknown = asyncio.create_task(refused(identity, token(kid="unknown")))
    await until(lambda: issuer.requests == 2)
    assert await identify(identity, token())
    assert not unknown.done()
    issuer.go_on.set()
    await unknown


async def test_an_endpoint_that_hangs_is_given_up(issuer):
    issuer.go_on.clear()
    fetcher = KeySetFetcher(issuer.url, deadline_seconds=0.1)
    began = time.monotonic()
    with pytest.raises(KeySetUnavailableError, match=r"within 0\.1 s"):
        await fetcher.fetch()
    assert time.monotonic() - began < 2
    await fetcher.close()


async def test_without_any_keys_the_server_is_at_fault(identity, issuer, clock):
    issuer.status = 503
    for _ in range(5):
        assert await not_ready(identity, token()) == PAUSE_SECONDS
    assert issuer.requests == 1
    issuer.status = 200
    clock.now += PAUSE_SECONDS
    assert await identify(identity, token())


async def test_whoever_waits_may_go_without_ending_the_fetch(identity, issuer):
    issuer.go_on.clear()
    first = asyncio.create_task(identify(identity, token()))
    await until(lambda: issuer.requests)
    second = asyncio.create_task(identify(identity, token()))
    first.cancel()
    await asyncio.wait([first])
    issuer.go_on.set()
    assert (await second).user == "ann"


async def test_closing_ends_a_fetch_under_way(identity, issuer, cache):
    issuer.go_on.clear()
    asking = asyncio.create_task(identify(identity, token()))
    await until(lambda: issuer.requests)
    await cache.close()
    await asyncio.wait([asking])
    assert asking.cancelled()
