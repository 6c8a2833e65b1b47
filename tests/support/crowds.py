"""Idle connections that take all the places of a server."""

import contextlib
import socket

import httpx

from support.raw_http import connected, send

ASKED_IN_A_ROW = 25
"""So many answers in a row: each worker of a server gave some of them."""


def answer_of(server, path="/jobs"):
    """The answer to a request on a connection of its own."""
    return httpx.get(f"{server.url}{path}", timeout=20, trust_env=False)


def is_full(server, asked=1):
    """Whether new connections are refused."""
    return all(answer_of(server).status_code == 503 for _ in range(asked))


@contextlib.contextmanager
def crowd(server, size, workers=1):
    """Fill the server, whose workers take so many connections each, with idle ones."""
    server.http.close()
    with contextlib.ExitStack() as stack:

        def more(count):
            for _ in range(count):
                stack.enter_context(connected(server))

        more(size * workers)
        if workers == 1:
            server.until(lambda: is_full(server), what="the server full")
        else:
            # The kernel does not share them out evenly; those beyond the limit are closed soon.
            server.until(
                lambda: is_full(server, ASKED_IN_A_ROW) or more(5), what="all workers full"
            )
        yield


@contextlib.contextmanager
def attackers(server, count, opening=b""):
    """More connections, which say this and no more; a function that replaces all of them."""
    address, kept = ("127.0.0.1", server.port), []

    def renew():
        while kept:
            kept.pop().close()
        for _ in range(count):
            kept.append(socket.create_connection(address, timeout=20))
            send(kept[-1], opening)

    renew()
    try:
        yield renew
    finally:
        while kept:
            kept.pop().close()
