"""A thousand WebSockets on one job, and readers of it that take nothing."""

import asyncio
import contextlib
import json
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from support import engine, projects
from support.raw_http import established
from support.raw_websocket import CLOSE, TEXT, dialled, frame, head
from support.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

SOCKETS = 1000
OPENING_AT_ONCE = 50
LINES = 2000
STALLED = 100
LARGE_BYTES = 30_000_000
MEGABYTE = 1 << 20

WORK = projects.shell(
    "echo waiting; while [ ! -e go ]; do sleep 0.02; done; "
    f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); "
    'echo "$i the quick brown fox jumps over the lazy dog"; done'
)
LARGE = projects.shell(f"head -c {LARGE_BYTES} /dev/zero | tr '\\0' '.' | fold -w 99")
OPEN_TO_ALL = {"max_streams_per_user": 0, "max_streams_per_address": 0}


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """As many as there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_of(server):
    """What the server has resident, in bytes (proc(5), statm)."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def seconds_of(server):
    """The processor time that the server has had (proc(5), stat)."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def read_to_the_end(client, log, sizes):
    """Compare with the log as it comes; the type of the last message."""
    position, kind = 0, None
    while True:
        opcode, content = await client.next(300)
        if opcode == CLOSE:
            client.send(frame(CLOSE, content[:2]))
            return kind, content[:2]
        if opcode != TEXT:
            continue
        message = json.loads(content)
        kind = message["type"]
        if kind == "log":
            data = message["data"].encode()
            assert log[position : position + len(data)] == data
            position += len(data)
            sizes[client] = position


async def test_a_thousand_on_one_job(own_server, record_property):
    server = own_server(hardened=True, **OPEN_TO_ALL).start().ready()
    job_id = server.submit(projects.ANY, WORK)
    server.under_way(job_id, b"waiting")
    numbers = "".join(
        f"{number} the quick brown fox jumps over the lazy dog\n" for number in range(1, LINES + 1)
    )
    log = f"waiting\n{numbers}".encode()
    before, gate, sizes = memory_of(server), asyncio.Semaphore(OPENING_AT_ONCE), {}
    opening = head(f"/jobs/{job_id}/stream")
    ends = []

    async def follow():
        async with contextlib.AsyncExitStack() as stack:
            async with gate:
                address = ("127.0.0.1", server.port)
                client = await stack.enter_async_context(dialled(address, opening))
                status, _, _ = await client.take_answer()
                assert status == 101
            ends.append(await read_to_the_end(client, log, sizes))

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(SOCKETS):
            group.create_task(follow())
        await until(lambda: len(sizes) == SOCKETS, what="all that watch", seconds=120)
        opened, idle = time.monotonic() - started, memory_of(server)
        used = seconds_of(server)
        await asyncio.to_thread(engine.release, server, job_id)
        started = time.monotonic()
    measured = {
        "seconds to open": round(opened, 1),
        "kB for each open one": (idle - before) // SOCKETS // 1000,
        "seconds from release to the last end": round(time.monotonic() - started, 1),
        "processor seconds of that": round(seconds_of(server) - used, 1),
        "kB for each at the end": (memory_of(server) - before) // SOCKETS // 1000,
    }
    record_property("measured", measured)
    print(measured)
    assert ends == [("complete", b"\x03\xe8")] * SOCKETS
    assert server.log(job_id) == log
    assert memory_of(server) - before < SOCKETS * 200_000
    assert " ERROR " not in server.log_path.read_text()


async def test_readers_that_take_nothing_cost_little_and_are_let_go(own_server):
    """A cursor and a message each, whatever the log has, until the send timeout."""
    server = own_server(hardened=True, send_timeout_seconds=5, **OPEN_TO_ALL).start().ready()
    job, log = await asyncio.to_thread(server.run, projects.ANY, LARGE)
    assert len(log) > LARGE_BYTES
    server.http.close()  # its own connection is not to be counted
    before = memory_of(server)
    opening = head(f"/jobs/{job['job_id']}/stream")
    with contextlib.ExitStack() as stack:
        for _ in range(STALLED):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(opening)
        accepted = "[accepted]"
        await until(lambda: server.log_path.read_text().count(accepted) == STALLED)
        most = 0

        def are_gone():
            nonlocal most
            most = max(most, memory_of(server))
            return not established(server.port)

        await until(are_gone, what="the end of all", seconds=60)
    print({"kB for each that takes nothing": (most - before) // STALLED // 1000})
    assert most - before < STALLED * 500_000
    assert " ERROR " not in server.log_path.read_text()
