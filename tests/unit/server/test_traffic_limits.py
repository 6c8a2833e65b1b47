"""Rates, slots and failed credentials, by a clock that the test turns."""

import asyncio

import pytest

from ci_common.errors import (
    InvalidCredentialsError,
    RateLimitedError,
    TooManyAttemptsError,
    TooManyStreamsError,
    TooManyUploadsError,
    UnauthenticatedError,
)
from ci_common.principal import LOCAL_PRINCIPAL, Principal, Role
from ci_server.access.auth.authenticator import Authenticator
from ci_server.access.auth.credentials import Credentials
from ci_server.access.auth.local import LocalIdentity
from ci_server.access.auth.stream_tokens import StreamTokenIdentity, StreamTokens
from ci_server.access.limits.address import limited_as
from ci_server.access.limits.buckets import TokenBuckets
from ci_server.access.limits.failed_logins import FailureLimits, ThrottledAuthenticator
from ci_server.access.limits.slots import Slots
from ci_server.access.limits.traffic import Traffic, TrafficLimits
from support.jobs import NOON

ANN = Principal("acme", "ann", Role.SUBMITTER, "key 1")
BOB = Principal("acme", "bob", Role.SUBMITTER, "key 2")
OUTSIDE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


# ------------------------------------------------------------------ buckets


def test_a_burst_and_then_the_rate(clock):
    buckets = TokenBuckets(2, 5, clock)
    assert [buckets.take("a") for _ in range(5)] == [0] * 5
    assert buckets.take("a") == buckets.wait("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0
    clock.now += 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 100
    assert [buckets.take("a") for _ in range(5)] == [0] * 5
    assert buckets.take("a") > 0


def test_a_refused_request_takes_no_token(clock):
    buckets = TokenBuckets(1, 1, clock)
    assert buckets.take("a") == 0
    assert {buckets.take("a") for _ in range(100)} == {1.0}


def test_over_a_long_time_the_rate_is_kept(clock):
    buckets = TokenBuckets(3, 10, clock)
    taken = 0
    for _ in range(10_000):
        taken += buckets.take("a") == 0
        clock.now += 0.01
    assert 300 <= taken <= 311


def test_who_rests_is_forgotten(clock):
    buckets = TokenBuckets(10, 10, clock)
    for number in range(1000):
        buckets.take(number)
    assert len(buckets) == 1000
    clock.now += 1
    for _ in range(600):
        buckets.take("busy")
        clock.now += 0.1
    assert len(buckets) == 1


def test_memory_is_bounded(clock):
    buckets = TokenBuckets(0.001, 1, clock, most_callers=50)
    for number in range(10_000):
        buckets.take(number)
    assert len(buckets) == 50
    assert buckets.take(9_999) > 0
    assert buckets.take(1) == 0


# ------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somebody", "somebody"),
    ],
)
def test_what_an_address_counts_as(address, key):
    assert limited_as(address) == key


# ------------------------------------------------------------------ traffic


def test_rates_are_of_users_and_of_addresses(clock):
    traffic = Traffic(TrafficLimits(1, 2, burst_seconds=2), clock)
    for _ in range(2):
        traffic.check_user(ANN)
    with pytest.raises(
        RateLimitedError, match=r"you: 1 a second .*CI_REQUESTS_PER_SECOND_PER_USER"
    ) as refused:
        traffic.check_user(ANN)
    assert refused.value.retry_after == pytest.approx(1)
    traffic.check_user(BOB)
    traffic.check_user(Principal("other", "ann", Role.SUBMITTER, "key 3"))
    for _ in range(4):
        traffic.check_address(OUTSIDE)
    with pytest.raises(
        RateLimitedError, match=r"your address: 2 a .*CI_REQUESTS_PER_SECOND_PER_ADDRESS"
    ):
        traffic.check_address(OUTSIDE)
    traffic.check_address(ELSEWHERE)


def test_two_credentials_of_one_user_are_one_caller(clock):
    traffic = Traffic(TrafficLimits(1, burst_seconds=1), clock)
    traffic.check_user(ANN)
    with pytest.raises(RateLimitedError):
        traffic.check_user(Principal("acme", "ann", Role.VIEWER, "key 9", only_job="j"))


@pytest.mark.parametrize(
    ("begin", "error", "setting"),
    [
        (Traffic.begin_stream, TooManyStreamsError, "CI_MAX_STREAMS_PER_"),
        (Traffic.begin_upload, TooManyUploadsError, "CI_MAX_UPLOADS_PER_"),
    ],
)
def test_so_many_at_once(begin, error, setting):
    limits = TrafficLimits(
        streams_per_user=2, streams_per_address=3, uploads_per_user=2, uploads_per_address=3
    )
    traffic = Traffic(limits)
    give_back = begin(traffic, ANN, OUTSIDE)
    begin(traffic, ANN, OUTSIDE)
    with pytest.raises(error, match=f"you have 2 .*{setting}USER") as refused:
        begin(traffic, ANN, ELSEWHERE)
    assert refused.value.retry_after
    begin(traffic, BOB, OUTSIDE)
    with pytest.raises(error, match=f"your address has 3 .*{setting}ADDRESS"):
        begin(traffic, BOB, OUTSIDE)
    begin(traffic, BOB, ELSEWHERE)
    give_back()
    begin(traffic, ANN, OUTSIDE)


def test_slots_remember_only_who_has_one():
    slots = Slots(1)
    give_backs = [slots.take(number) for number in range(100)]
    assert not slots.has_room(5)
    for give_back in give_backs:
        give_back()
    assert len(slots) == 0
    assert slots.has_room(5)
    assert Slots(0).has_room(1)


@pytest.mark.parametrize("address", [None, "127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_local_user_is_limited_only_when_asked_for(address):
    for limit_local in (False, True):
        limits = TrafficLimits(1, 1, 1, 1, 1, 1, 1, limit_local)
        traffic = Traffic(limits)
        refused = 0
        for _ in range(3):
            try:
                traffic.check_address(address)
                traffic.check_user(LOCAL_PRINCIPAL)
                traffic.begin_stream(LOCAL_PRINCIPAL, address)
                traffic.begin_upload(LOCAL_PRINCIPAL, address)
            except RateLimitedError:
                refused += 1
        assert refused == (2 if limit_local else 0)


def test_without_limits_everything_goes():
    traffic = Traffic(TrafficLimits())
    for _ in range(1000):
        traffic.check_address(OUTSIDE)
        traffic.check_user(ANN)
        traffic.begin_stream(ANN, OUTSIDE)


# ------------------------------------------------------------------ failed credentials


class Keys:
    """An identity that counts what it is asked."""

    def __init__(self, *good):
        self.good = set(good)
        self.asked = 0

    async def is_configured(self):
        return True

    def evidence(self, credentials):
        return credentials.bearer

    async def identify(self, credentials):
        if credentials.bearer is None:
            return None
        self.asked += 1
        if credentials.bearer not in self.good:
            raise InvalidCredentialsError
        return Principal("acme", credentials.bearer, Role.SUBMITTER, "key")


class Door:
    """A throttled authenticator, and who comes to it."""

    def __init__(self, clock, per_minute=10, limit_local=False, tokens=None):
        self.keys = Keys("ann", "bob")
        inner = Authenticator([self.keys], LocalIdentity(insecure=False), tokens)
        limits = FailureLimits(per_minute, limit_local)
        self.authenticator = ThrottledAuthenticator(inner, limits, clock)

    def come(self, key=None, address=OUTSIDE, token=None, **headers):
        headers |= {} if key is None else {"authorization": f"Bearer {key}"}
        credentials = Credentials(headers, client=address, token=token)
        try:
            return asyncio.run(self.authenticator.authenticate(credentials)).user
        except (InvalidCredentialsError, TooManyAttemptsError, UnauthenticatedError) as error:
            return error.code


def test_after_some_failures_an_address_waits(clock):
    door = Door(clock)
    assert {door.come(f"guess {number}") for number in range(10)} == {"invalid_credentials"}
    asked = door.keys.asked
    assert {door.come(f"guess {number}") for number in range(100)} == {"too_many_attempts"}
    assert door.keys.asked == asked, "a throttled failure is not looked up"
    assert door.come("guess", ELSEWHERE) == "invalid_credentials"
    clock.now += 6
    assert door.come("guess") == "invalid_credentials"
    assert door.come("guess") == "too_many_attempts"
    clock.now += 60
    assert {door.come("guess") for _ in range(10)} == {"invalid_credentials"}


def test_it_tells_when_to_come_again(clock):
    door = Door(clock, per_minute=1)
    assert door.come("guess") == "invalid_credentials"
    credentials = Credentials({"authorization": "Bearer guess"}, client=OUTSIDE)
    with pytest.raises(TooManyAttemptsError, match="try again in 60 s") as refused:
        asyncio.run(door.authenticator.authenticate(credentials))
    assert refused.value.retry_after == pytest.approx(60)


def test_who_works_behind_the_same_address_goes_on(clock):
    door = Door(clock)
    assert door.come("ann") == "ann"
    for _ in range(20):
        door.come("guess")
    assert door.come("ann") == "ann"
    assert door.come("bob") == "too_many_attempts", "not known to be good: no look-up"
    clock.now += 6
    assert door.come("bob") == "bob"
    assert door.come("bob") == "bob", "successes use nothing up"


def test_what_was_good_and_is_revoked_is_a_failure_like_others(clock):
    door = Door(clock)
    assert door.come("ann") == "ann"
    for _ in range(20):
        door.come("guess")
    door.keys.good.remove("ann")
    assert door.come("ann") == "invalid_credentials"
    assert door.come("ann") == "too_many_attempts"


def test_browsers_with_expired_tokens_lock_nobody_out(clock):
    tokens = StreamTokens(b"k" * 32, 60, lambda: NOON)
    giver = Principal("acme", "ann", Role.SUBMITTER, "key")
    fresh = tokens.issue(giver, "j1").token
    expired = StreamTokens(b"k" * 32, -1, lambda: NOON).issue(giver, "j1").token
    door = Door(clock, tokens=StreamTokenIdentity(tokens))
    answers = {door.come("guess", token=expired) for _ in range(50)}
    assert answers == {"invalid_credentials"}
    assert door.keys.asked == 0, "a token is all that is looked at"
    assert door.come("ann") == "ann"
    for _ in range(20):
        door.come("guess")
    assert door.come(token=fresh) == "ann"


def test_what_nobody_reads_is_no_credential(clock):
    door = Door(clock)
    for _ in range(20):
        door.come("guess")
    assert door.come(cookie="session=1") == "unauthenticated"


def test_requests_without_credentials_are_no_failures(clock):
    door = Door(clock)
    assert {door.come() for _ in range(100)} == {"unauthenticated"}
    assert door.come("ann") == "ann"


@pytest.mark.parametrize(("limit_local", "last"), [(False, "invalid"), (True, "too_many")])
def test_loopback_is_throttled_only_when_asked_for(clock, limit_local, last):
    door = Door(clock, limit_local=limit_local)
    answers = [door.come("guess", "127.0.0.1") for _ in range(20)]
    assert answers[-1].startswith(last)


def test_no_limit_on_failures(clock):
    door = Door(clock, per_minute=0)
    assert {door.come("guess") for _ in range(100)} == {"invalid_credentials"}


def test_credentials_are_not_kept(clock):
    door = Door(clock)
    door.come("ann")
    assert "ann" not in repr(vars(door.authenticator))
