"""Idle connections that take all the places of a server."""

import contextlib
import socket
from pathlib import Path

import httpx

from support.raw_http import connected, send


def answer_of(server, path="/jobs"):
    """The answer to a request on a connection of its own."""
    return httpx.get(f"{server.url}{path}", timeout=20, trust_env=False)


def is_full(server):
    """Whether a new connection is refused."""
    return answer_of(server).status_code == 503


def held(server):
    """How many connections each process of the server holds, of those that hold any.

    A kernel with a worker that sleeps lightly may give it nearly all new connections: who is
    answered 503 many times in a row has learnt nothing about the other workers.
    """
    established = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == server.port:
            established.add(f"socket:[{fields[9]}]")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    counts = [_sockets(pid, established) for pid in children.read_text().split()]
    return [count for count in counts if count]


def _sockets(pid, names):
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(link.readlink()) in names
    return count


@contextlib.contextmanager
def crowd(server, size, workers=1):
    """Fill the server, whose workers take so many connections each, with idle ones."""
    server.http.close()
    with contextlib.ExitStack() as stack:

        def more(count):
            for _ in range(count):
                stack.enter_context(connected(server))

        def all_full():
            counts = held(server)
            return len(counts) == workers and min(counts) >= size

        more(size * workers)
        if workers > 1:
            # The kernel does not share them out evenly; those beyond the limit are closed soon.
            server.until(lambda: all_full() or more(5), what="all workers full")
        server.until(lambda: is_full(server), what="the server full")
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
