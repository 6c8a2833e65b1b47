"""Who is a program of this machine, and may read the metrics without a key."""

import pytest

from ci_server.access.auth.addresses import TrustedProxies
from ci_server.access.auth.credentials import Credentials
from ci_server.http.metrics_access import is_local

LOCAL = {"peer": "127.0.0.1", "local": "127.0.0.1", "method": "GET"}
HOST = {"host": "localhost:8000"}


@pytest.mark.parametrize(
    ("proxies", "options"),
    [
        ("", {"headers": HOST}),
        ("", {"headers": HOST, "peer": "::1", "local": "::1"}),
        ("192.0.2.0/24", {"headers": HOST}),
    ],
)
def test_a_program_of_this_machine(proxies, options):
    assert is_local(Credentials(**{**LOCAL, **options}), TrustedProxies.parse(proxies))


@pytest.mark.parametrize(
    ("proxies", "options"),
    [
        ("", {"headers": HOST, "peer": "192.0.2.7"}),
        ("", {"headers": HOST, "peer": "unknown"}),
        ("", {"headers": HOST, "local": "192.0.2.1"}),
        ("", {"headers": {**HOST, "x-forwarded-for": "127.0.0.1"}}),
        ("", {"headers": {**HOST, "forwarded": "for=127.0.0.1"}}),
        ("", {"headers": {**HOST, "x-real-ip": "127.0.0.1"}}),
        ("", {"headers": {**HOST, "via": "1.1 proxy"}}),
        ("", {"headers": {"host": "ci.example.com"}}),
        ("", {"headers": {**HOST, "origin": "https://evil.example"}}),
        # A proxy on this machine that passes on nothing that would tell.
        ("127.0.0.1", {"headers": HOST}),
        ("unix", {"headers": HOST, "peer": None, "local": None}),
    ],
)
def test_whoever_else(proxies, options):
    assert not is_local(Credentials(**{**LOCAL, **options}), TrustedProxies.parse(proxies))
