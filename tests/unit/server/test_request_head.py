"""Heads of requests that are refused without the application."""

import pytest

from ci_server.connections.request_head import OTHER_HOST, URL_BYTES, URL_TOO_LONG, problem_of_head


def headers(*hosts):
    return [(b"accept", b"*/*"), *((b"host", host) for host in hosts)]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        (b"/jobs", [b"localhost:8000"]),
        (b"/jobs", []),
        (b"/http://evil.example/", [b"localhost"]),
        (b"*", [b"localhost"]),
        (b"http://localhost:8000/jobs", [b"localhost:8000"]),
        (b"http://LOCALHOST/jobs?a=/b", [b"localhost"]),
        (b"http://localhost?a=b", [b"localhost"]),
        (b"http://[::1]:80", [b"[::1]:80"]),
        (b"/" + b"x" * (URL_BYTES - 1), [b"localhost"]),
    ],
)
def test_heads_that_are_fine(url, hosts):
    assert problem_of_head(url, headers(*hosts)) is None


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        (b"http://evil.example/jobs", [b"localhost"]),
        (b"http://localhost@evil.example/jobs", [b"localhost"]),
        (b"http://localhost:80/jobs", [b"localhost:8000"]),
        (b"http://localhost/jobs", []),
        (b"http://localhost/jobs", [b"localhost", b"localhost"]),
        (b"evil.example:443", [b"localhost"]),
        (b"jobs", [b"localhost"]),
    ],
)
def test_targets_of_another_host(url, hosts):
    assert problem_of_head(url, headers(*hosts)) == OTHER_HOST


def test_an_address_that_is_too_long():
    assert problem_of_head(b"/" + b"x" * URL_BYTES, headers(b"localhost")) == URL_TOO_LONG
