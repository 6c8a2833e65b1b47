"""Where a request comes from: sockets, proxies, and what clients claim."""

import asyncio
import socket

import pytest

from ci_server.access.auth.addresses import (
    UNKNOWN,
    TrustedProxies,
    peer_of,
    remember_peer,
)

PROXIES = TrustedProxies.parse("10.0.0.7, 10.1.0.0/16, fd00::/8")


def forwarded(text):
    return {"x-forwarded-for": text}


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.7", True),
        ("::ffff:10.0.0.7", True),
        ("10.1.255.255", True),
        ("fd00::1%eth0", True),
        ("10.0.0.8", False),
        ("127.0.0.1", False),
        (UNKNOWN, False),
        ("", False),
        (None, False),
    ],
)
def test_whom_we_trust(peer, trusted):
    assert PROXIES.trust(peer) is trusted


def test_a_unix_socket_is_trusted_on_demand():
    assert TrustedProxies.parse("unix").trust(None)
    assert not TrustedProxies.parse("unix").trust("127.0.0.1")


def test_nobody_is_trusted_by_default():
    assert not TrustedProxies.parse("")
    assert not TrustedProxies.parse(" , ").trust("10.0.0.7")


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", {}, "192.0.2.1"),
        ("192.0.2.1", forwarded("198.51.100.9"), "192.0.2.1"),
        ("127.0.0.1", forwarded("198.51.100.9"), "127.0.0.1"),
        ("10.0.0.7", {}, "10.0.0.7"),
        ("10.0.0.7", forwarded("198.51.100.9"), "198.51.100.9"),
        ("10.0.0.7", forwarded("203.0.113.1, 198.51.100.9"), "198.51.100.9"),
        ("10.0.0.7", forwarded("127.0.0.1, 198.51.100.9, 10.1.2.3"), "198.51.100.9"),
        ("10.0.0.7", forwarded("198.51.100.9:4711"), "198.51.100.9"),
        ("10.0.0.7", forwarded("[2001:db8::1]:4711"), "2001:db8::1"),
        ("10.0.0.7", forwarded("2001:db8::1"), "2001:db8::1"),
        ("10.0.0.7", forwarded("::ffff:198.51.100.9"), "198.51.100.9"),
        ("10.0.0.7", forwarded("10.1.0.1, 10.1.0.2"), "10.1.0.1"),
        ("10.0.0.7", forwarded("198.51.100.9, evil, 10.1.0.2"), "10.1.0.2"),
        ("10.0.0.7", forwarded("unix"), "10.0.0.7"),
        ("10.0.0.7", forwarded(""), "10.0.0.7"),
        (UNKNOWN, forwarded("198.51.100.9"), UNKNOWN),
        (None, forwarded("198.51.100.9"), None),
    ],
)
def test_the_client_is_the_last_hop_that_we_do_not_trust(peer, headers, client):
    assert PROXIES.client(peer, headers) == client


def test_a_chain_of_proxies_without_end_is_not_followed():
    assert PROXIES.client("10.0.0.7", forwarded("192.0.2.1," + "10.1.0.1," * 1000 + "10.1.0.2"))


class Connection:
    """What uvicorn's protocols look like to `send`."""

    def __init__(self, transport):
        self.transport = transport

    async def send(self, message):
        raise AssertionError


class Transport(asyncio.Transport):
    def __init__(self, peer, kind=socket.AF_INET):
        with socket.socket(kind) as closed:
            super().__init__({"peername": peer, "socket": closed})


def remembered(transport, client, headers=()):
    scope = {"type": "http", "client": client}
    remember_peer(scope, Connection(transport).send)
    return peer_of(scope, dict(headers))


def test_the_socket_tells_the_peer_whatever_the_web_server_made_of_it():
    transport = Transport(("127.0.0.1", 1))
    assert remembered(transport, ("198.51.100.9", 0), forwarded("x")) == "127.0.0.1"


def test_a_unix_socket_has_no_peer():
    assert remembered(Transport("", socket.AF_UNIX), None) is None


def test_a_connection_that_is_gone_is_not_a_unix_socket():
    assert remembered(Transport(None), None) == UNKNOWN


async def lost(message):
    raise AssertionError


def test_where_the_socket_cannot_be_seen_a_forwarded_request_is_from_nowhere():
    scope = {"type": "http", "client": ("127.0.0.1", 1)}
    remember_peer(scope, lost)
    assert peer_of(scope, {}) == "127.0.0.1"
    assert peer_of(scope, forwarded("127.0.0.1")) == UNKNOWN
