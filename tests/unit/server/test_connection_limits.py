"""How many connections are taken, and how fast a body has to be."""

import asyncio
import resource

import pytest

from ci_common.errors import RequestTimeoutError
from ci_server.access.auth.addresses import TrustedProxies
from ci_server.connections.limits import ConnectionGuard, raise_descriptor_limit
from ci_server.submission.body_rate import paced

FAR, OTHER = "192.0.2.7", "192.0.2.8"


def taken(guard, address, count):
    return sum(guard.take(address) is None for _ in range(count))


def test_an_address_may_have_so_many():
    guard = ConnectionGuard(most=100, most_per_address=3, descriptors=1000)
    assert taken(guard, FAR, 5) == 3
    assert guard.take(FAR).status == 429
    assert taken(guard, OTHER, 5) == 3
    guard.release(FAR)
    assert taken(guard, FAR, 5) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", None])
def test_this_machine_is_bounded_in_total_only(address):
    guard = ConnectionGuard(most=100, most_per_address=3, descriptors=1000)
    assert taken(guard, address, 200) == 100
    assert guard.take(FAR).status == 503


def test_a_trusted_proxy_is_bounded_in_total_only():
    proxies = TrustedProxies.parse("10.0.0.0/24")
    guard = ConnectionGuard(most=100, most_per_address=3, descriptors=1000, proxies=proxies)
    assert taken(guard, FAR, 5) == 3
    assert taken(guard, "10.0.0.9", 200) == 97
    for _ in range(97):
        guard.release("10.0.0.9")
    assert taken(guard, "10.0.1.9", 5) == 3


def test_all_addresses_of_a_host_count_together():
    guard = ConnectionGuard(most=100, most_per_address=3, descriptors=1000)
    assert sum(taken(guard, f"2001:db8::{host:x}", 1) for host in range(1, 9)) == 3
    assert taken(guard, "2001:db8:0:1::1", 5) == 3
    for host in range(1, 4):
        guard.release(f"2001:db8::{host:x}")
    assert taken(guard, "2001:db8::ffff", 5) == 3


def test_descriptors_are_kept_in_reserve():
    guard = ConnectionGuard(most=10_000, most_per_address=10_000, descriptors=1024)
    assert taken(guard, FAR, 2000) == 768


def test_what_was_refused_is_not_counted():
    guard = ConnectionGuard(most=2, most_per_address=1, descriptors=1000)
    assert [taken(guard, FAR, 3), taken(guard, OTHER, 3)] == [1, 1]
    guard.release(FAR)
    guard.release(OTHER)
    assert [taken(guard, FAR, 3), taken(guard, OTHER, 3)] == [1, 1]


def test_the_descriptor_limit_is_raised_as_far_as_it_may():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        most = raise_descriptor_limit()
        assert most == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert most == hard or most == 65_536
        assert raise_descriptor_limit() == most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ------------------------------------------------------------------ bodies


async def body(pieces, pause=0.0):
    for piece in pieces:
        await asyncio.sleep(pause)
        yield piece


async def collected(pieces, pause=0.0, patience=0.1):
    return [piece async for piece in paced(body(pieces, pause), patience)]


@pytest.mark.anyio
async def test_a_body_that_comes_is_passed_on():
    pieces = [b"x" * 1000, b"", b"y"]
    assert await collected(pieces) == pieces


@pytest.mark.anyio
async def test_a_body_that_stops_is_given_up():
    with pytest.raises(RequestTimeoutError):
        await collected([b"x"], pause=5)


@pytest.mark.anyio
async def test_a_body_that_trickles_is_given_up():
    with pytest.raises(RequestTimeoutError):
        await collected([b"x"] * 1000, pause=0.02)


@pytest.mark.anyio
async def test_a_body_that_is_slow_but_fast_enough_is_taken():
    """For longer than the patience, which is long beside a pause: this machine may be busy."""
    pieces = [b"x" * 1000] * 12
    assert await collected(pieces, pause=0.1, patience=1) == pieces


@pytest.mark.anyio
async def test_the_time_of_those_who_take_it_does_not_count():
    taken = 0
    async for _ in paced(body([b"x"] * 10), 0.2):
        await asyncio.sleep(0.05)
        taken += 1
    assert taken == 10
