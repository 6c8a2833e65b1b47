"""Which addresses webhooks may be sent to."""

import asyncio
import ipaddress
import socket
import threading

import pytest

from ci_common.webhook_addresses import NotReachableError
from ci_controller.delivery.reachable import NameNotFoundError, Reachable

pytestmark = pytest.mark.anyio

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
NOT_PUBLIC = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.88.99.1", "198.18.0.1", "192.0.2.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "fe80::1", "fec0::1"),
    *("fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::808:808", "2002:7f00:1::1", "2002:a00:1::", "2001:0:7f00:1::1"),
]


def reachable(*addresses, networks=()):
    def look_up(host, port, type):
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        found = [ipaddress.ip_address(address) for address in addresses]
        return [(family[one.version], type, 6, "", (str(one), port)) for one in found]

    return Reachable([ipaddress.ip_network(one) for one in networks], look_up)


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_reached_by_https_alone(address):
    found = await reachable(address).addresses("example.com", 443, encrypted=True)
    assert found == [ipaddress.ip_address(address)]
    with pytest.raises(NotReachableError, match="use https"):
        await reachable(address).addresses("example.com", 80, encrypted=False)


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_other_addresses_are_not_reached(address):
    with pytest.raises(NotReachableError, match="CI_WEBHOOK_NETWORKS"):
        await reachable(address).addresses("example.com", 443, encrypted=True)
    mixed = reachable(address, "8.8.8.8")
    found = await mixed.addresses("example.com", 443, encrypted=True)
    assert found == [ipaddress.ip_address("8.8.8.8")], "only what was checked is connected to"


async def test_networks_that_are_allowed():
    inside = reachable("10.1.2.3", "::ffff:10.1.0.9", "10.2.0.1", networks=["10.1.0.0/16"])
    found = await inside.addresses("a.corp", 80, encrypted=False)
    assert [str(one) for one in found] == ["10.1.2.3", "::ffff:a01:9"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "0"])
async def test_other_ways_to_write_this_machine(host):
    with pytest.raises((NotReachableError, NameNotFoundError)):
        await Reachable([]).addresses(host, 443, encrypted=True)


async def test_names_that_nobody_resolves_keep_no_others_waiting():
    answered = threading.Event()

    def look_up(host, port, type):
        if host != "example.com":
            answered.wait(60)
        return [(socket.AF_INET, type, 6, "", ("8.8.8.8", port))]

    them = Reachable([], look_up)
    slow = [
        asyncio.create_task(them.addresses(f"{number}.example.org", 443, encrypted=True))
        for number in range(32)
    ]
    try:
        async with asyncio.timeout(30):
            await them.addresses("example.com", 443, encrypted=True)
        assert not any(task.done() for task in slow)
    finally:
        answered.set()
        await asyncio.gather(*slow)
