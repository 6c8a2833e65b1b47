"""WebSockets of `BoundedHttpProtocol`, and clients that keep to nothing."""

import asyncio
import contextlib
import logging
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from ci_server.connections import protocol as http_protocol
from ci_server.connections import websocket
from ci_server.connections.websocket import FRAGMENTS, MESSAGE_BYTES
from support.bounded_server import address_of, serving
from support.raw_websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    SECONDS,
    TEXT,
    dialled,
    frame,
    head,
    noise,
    opened,
)
from support.waiting import until

pytestmark = pytest.mark.anyio

LARGE = "x" * (100 << 10)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class Application:
    """Answers what it is sent, until it is told `flood`, `close` or `raise`."""

    def __init__(self):
        self.ended = []
        self.sent = 0
        self.may_receive = asyncio.Event()
        self.may_receive.set()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        if scope["path"] == "/broken":
            raise ValueError("secret")
        if scope["path"] == "/closed":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/refused":
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
            return
        await send({"type": "websocket.accept"})
        try:
            await self._serve(receive, send)
        except OSError:
            self.ended.append("cut off")

    async def _serve(self, receive, send):
        while True:
            await self.may_receive.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.ended.append(message["code"])
                return
            text = message.get("text")
            if text == "close":
                await send({"type": "websocket.close", "code": 1000})
                return
            if text == "large":
                text = LARGE * 200
            while text == "flood":
                self.sent += 1
                await send({"type": "websocket.send", "text": LARGE})
            await send({"type": "websocket.send", "text": text, "bytes": message.get("bytes")})


@pytest.fixture
def application():
    return Application()


def guard_of(server):
    return http_protocol._guards[server.server_state]


def counted(server):
    return guard_of(server)._total


def only_connection(server):
    (found,) = server.server_state.connections
    return found


async def is_gone(server):
    """That the place was given back, once."""
    await until(lambda: not server.server_state.connections, what="no connection")
    assert counted(server) == 0
    assert not guard_of(server)._addresses


# ------------------------------------------------------------------ ordinary clients


async def test_messages_of_both_kinds(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        host, port = address_of(server)
        async with connect(f"ws://{host}:{port}/", proxy=None) as client:
            assert not client.protocol.extensions
            assert counted(server) == 1
            await client.send("ä" * 1000)
            assert await client.recv() == "ä" * 1000
            largest = bytes(MESSAGE_BYTES)
            await client.send(largest)
            assert await client.recv() == largest
            await client.send([b"a", b"b", b"c"])
            assert await client.recv() == b"abc"
            await (await client.ping())
        assert client.close_code == 1000
        await is_gone(server)
    assert application.ended == [1000]


async def test_the_application_closes(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            client.send(frame(TEXT, b"close"))
            assert await client.next() == (CLOSE, b"\x03\xe8")
            client.send(frame(CLOSE, b"\x03\xe8"))
            assert await client.reader.read() == b""
        await is_gone(server)


async def test_a_client_that_does_not_answer_the_close_is_waited_for_a_while(
    monkeypatch, application
):
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            only_connection(server).close_timeout = 0.2
            client.send(frame(TEXT, b"close"))
            assert await client.closed() == 1000
        await is_gone(server)


async def test_two_hundred_at_once(monkeypatch, application):
    async with serving(monkeypatch, application, most=200, most_per_address=1) as server:
        host, port = address_of(server)

        async def ask(number):
            async with connect(f"ws://{host}:{port}/", proxy=None) as client:
                await client.send(f"{number}")
                assert await client.recv() == f"{number}"
                seen.append(number)
                await all_there.wait()

        seen, all_there = [], asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(ask(number))
            await until(lambda: len(seen) == 200)
            assert counted(server) == 200
            async with dialled(address_of(server)) as client:
                assert await client.refused() == (503, "too_many_connections")
            all_there.set()
        await is_gone(server)


async def test_a_place_that_is_taken_is_taken_once(monkeypatch, application):
    async with serving(monkeypatch, application, most=2) as server:
        for _ in range(5):
            async with opened(address_of(server)), opened(address_of(server)):
                assert counted(server) == 2
                async with dialled(address_of(server)) as third:
                    assert await third.refused() == (503, "too_many_connections")
            await until(lambda: counted(server) == 0)


async def test_a_probe_of_a_full_server_opens_no_websocket(monkeypatch):
    async def application(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serving(monkeypatch, application, most=1) as server:
        _, silent = await asyncio.open_connection(*address_of(server))
        await until(lambda: counted(server) == 1)
        async with dialled(address_of(server), head("/health")) as probe:
            assert (await probe.take_answer())[0] == 200
        silent.close()


# ------------------------------------------------------------------ opening


async def test_a_refusal_of_the_application_is_no_error(monkeypatch, application, caplog):
    async with serving(monkeypatch, application) as server:
        host, port = address_of(server)
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"ws://{host}:{port}/refused")
        await is_gone(server)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("opening", "answer"),
    [
        (head(without=["Sec-WebSocket-Key"]), (400, "bad_request")),
        (head(without=["Sec-WebSocket-Version"]), (400, "bad_request")),
        (head("/", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), (400, "bad_request")),
        (head().replace(b"AAAA==", b"AA=="), (400, "bad_request")),
        (head().replace(b"GET", b"PUT"), (405, "method_not_allowed")),
        (head("/", "Content-Length: 5") + b"12345", (400, "bad_request")),
        (head("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", (400, "bad_request")),
        (b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" + head(), (400, "bad_request")),
        (head(f"/{'x' * 9000}"), (414, "url_too_long")),
        (head(f"/{'x' * 17000}"), (414, "url_too_long")),
        (head("/", *[f"X-{number}: x" for number in range(200)]), (431, "headers_too_large")),
        (head("/", f"X-Large: {'x' * 66000}"), (431, "headers_too_large")),
        (head("/broken"), (500, "internal_error")),
        (head("/closed"), (403, "forbidden")),
    ],
)
async def test_what_opens_nothing_is_refused_in_our_form(monkeypatch, caplog, opening, answer):
    waiting = asyncio.Event()
    application = Application()

    async def late(scope, receive, send):
        if scope["type"] == "http":
            await waiting.wait()
        else:
            await application(scope, receive, send)

    async with serving(monkeypatch, late) as server:
        async with dialled(address_of(server), opening) as client:
            assert await client.refused() == answer
        waiting.set()
        await is_gone(server)
    assert "callback" not in caplog.text


async def test_a_slow_opening_is_not_waited_for(monkeypatch, application):
    async with serving(monkeypatch, application, request_timeout=0.3) as server:
        async with dialled(address_of(server), head()[:-2]) as client:
            assert await client.refused() == (408, "request_timeout")
        await is_gone(server)


@pytest.mark.parametrize("early", [frame(TEXT, b"a"), frame(PING, masked=False), b"\xff" * 99999])
async def test_what_comes_before_the_answer_waits_for_it(monkeypatch, early):
    """As a client may not do it; it gets no pong, or worse, in place of the answer."""
    may_accept = asyncio.Event()
    application = Application()

    async def late(scope, receive, send):
        await may_accept.wait()
        await application(scope, receive, send)

    async with serving(monkeypatch, late) as server:
        async with dialled(address_of(server)) as client:
            await until(lambda: server.server_state.tasks)
            client.send(early)
            await until(lambda: only_connection(server)._unparsed)
            may_accept.set()
            assert (await client.take_answer())[0] == 101
            if early[0] == 0x81:
                assert await client.next() == (TEXT, b"a")
            else:
                assert await client.closed() == 1002
        await is_gone(server)


# ------------------------------------------------------------------ what clients send

FAULTS = {
    "an unmasked frame": (1002, [frame(TEXT, b"a", masked=False)]),
    "a reserved bit, as of compression": (1002, [frame(TEXT, b"a", reserved=0x40)]),
    "an unknown opcode": (1002, [frame(3)]),
    "a ping of two frames": (1002, [frame(PING, fin=False)]),
    "a large ping": (1002, [frame(PING, bytes(126))]),
    "a continuation of nothing": (1002, [frame(CONT, b"a")]),
    "a message within another": (1002, [frame(TEXT, b"a", fin=False), frame(TEXT, b"a")]),
    "a close with a forbidden code": (1002, [frame(CLOSE, b"\x03\xed")]),
    "a close of one byte": (1002, [frame(CLOSE, b"\x03")]),
    "no UTF-8": (1007, [frame(TEXT, b"\xff")]),
    "half a character": (1007, [frame(TEXT, b"\xc3")]),
    "a reason that is no UTF-8": (1007, [frame(CLOSE, b"\x03\xe8\xff")]),
    "a large frame": (1009, [frame(TEXT, noise(MESSAGE_BYTES + 2))]),
    "a frame that says it is huge": (1009, [frame(BINARY, b"", length=1 << 62)]),
    "a large message": (
        1009,
        [
            frame(TEXT, noise(MESSAGE_BYTES // 2), fin=False),
            frame(CONT, noise(MESSAGE_BYTES // 2), fin=False),
            frame(CONT, b"a"),
        ],
    ),
    "a message of empty frames": (
        1009,
        [frame(TEXT, fin=False), *([frame(CONT, fin=False)] * FRAGMENTS), frame(PING)],
    ),
}


@pytest.mark.parametrize(("code", "frames"), FAULTS.values(), ids=FAULTS)
async def test_who_breaks_the_protocol_is_told_how(monkeypatch, caplog, application, code, frames):
    caplog.set_level(logging.INFO)
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            client.send(*frames, frame(PING))
            assert await client.closed() == code
        await is_gone(server)
    assert application.ended == [code]
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_the_close_arrives_although_the_client_is_still_sending(monkeypatch, application):
    """Were the connection closed at once, it would only see a reset."""
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            client.send(frame(BINARY, bytes(1 << 20), length=1 << 30))
            await client.writer.drain()
            assert await client.closed() == 1009
        await is_gone(server)


async def test_a_client_that_never_stops_sending_is_cut_off(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            client.send(frame(3))
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(SECONDS):
                    while True:
                        client.send(bytes(1 << 16))
                        await client.writer.drain()
        await is_gone(server)


async def test_messages_wait_for_the_application_in_a_bounded_queue(monkeypatch, application):
    """So many that each takes far more memory than it had bytes."""
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            application.may_receive.clear()
            client.send(frame(TEXT, b"first"))
            client.send(frame(TEXT) * 100_000)
            connection = only_connection(server)
            await until(lambda: connection._unparsed)
            await until(lambda: not connection.transport.is_reading())
            assert connection.queue.qsize() < 1000
            assert len(connection._unparsed) <= 512 << 10
            application.may_receive.set()
            for _ in range(100_001):
                assert (await client.next())[0] == TEXT
        await is_gone(server)


async def test_a_client_may_vanish(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            client.send(frame(TEXT, b"flood"))
            await client.next()
        await is_gone(server)
    assert application.ended == ["cut off"]


# ------------------------------------------------------------------ what clients do not take


@contextlib.asynccontextmanager
async def stalled(server):
    """A socket that takes next to nothing."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address_of(server))
        connection.sendall(head())
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(connection, 4096)).startswith(b"HTTP/1.1 101")
        yield connection


async def test_pings_are_not_answered_without_bound(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        async with stalled(server) as client:
            connection = only_connection(server)
            sent = 0
            pings = frame(PING, bytes(125)) * 500

            def is_stuck():
                nonlocal sent
                try:
                    sent += client.send(pings)
                except BlockingIOError:
                    return not connection.transport.is_reading()
                return False

            await until(is_stuck)
            assert sent > 128 << 10
            assert connection.transport.get_write_buffer_size() < 128 << 10
            assert len(connection._unparsed) <= 512 << 10
        await is_gone(server)


async def test_a_reader_that_takes_nothing_holds_one_message_and_is_cut_off(
    monkeypatch, caplog, application
):
    caplog.set_level(logging.INFO)
    async with serving(monkeypatch, application, send_timeout=1) as server:
        async with stalled(server) as client:
            client.sendall(frame(TEXT, b"flood"))
            await until(lambda: application.sent)
            connection = only_connection(server)
            most = 0

            def is_cut():
                nonlocal most
                most = max(most, connection.transport.get_write_buffer_size())
                return application.ended

            await until(is_cut)
            assert most < (128 << 10) + len(LARGE)
        await is_gone(server)
    assert application.ended == ["cut off"]


async def test_a_peer_that_answers_no_ping_is_let_go(monkeypatch, application):
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.1)
    async with serving(monkeypatch, application, send_timeout=0.3) as server:
        async with opened(address_of(server)) as client:
            opcode, content = await client.next()
            assert (opcode, len(content)) == (PING, 4)
            client.send(frame(PONG, content))
            assert (await client.next())[0] == PING
            assert await client.closed() == 1011
        await is_gone(server)


async def test_a_slow_reader_cannot_answer_a_ping_that_did_not_reach_it(monkeypatch, application):
    monkeypatch.setattr(websocket, "PING_SECONDS", 0.05)
    async with (
        serving(monkeypatch, application, send_timeout=30) as server,
        opened(address_of(server)) as client,
    ):
        connection = only_connection(server)
        connection.ping_timeout = connection._send_timeout = 0.1
        client.reader._transport.pause_reading()
        client.send(frame(TEXT, b"large"))
        timers = set()

        def is_patient():
            timers.add(connection.pong_timer)
            return len(timers) > 3

        await until(is_patient)
        assert not connection.transport.is_closing()
        client.reader._transport.resume_reading()
        while (opcode := (await client.next())[0]) != PING:
            assert opcode == TEXT


# ------------------------------------------------------------------ the end of the server


async def test_the_end_of_the_server_is_told(monkeypatch, application):
    async with serving(monkeypatch, application) as server:
        async with opened(address_of(server)) as client:
            server.should_exit = True
            assert await client.closed() == 1012
        await is_gone(server)
    assert application.ended == [1012]


@pytest.mark.parametrize("client_closed", [False, True])
async def test_a_stalled_reader_does_not_hold_up_the_end(monkeypatch, application, client_closed):
    async with serving(monkeypatch, application) as server, stalled(server) as client:
        client.sendall(frame(TEXT, b"flood"))
        if client_closed:
            client.sendall(frame(CLOSE, b"\x03\xe8"))
        await until(lambda: application.sent > 1)
        server.should_exit = True
        await is_gone(server)


async def test_who_is_about_to_open_one_at_the_end_of_the_server_is_told(monkeypatch):
    may_accept = asyncio.Event()

    async def late(scope, receive, send):
        await may_accept.wait()
        await send({"type": "websocket.accept"})

    async with serving(monkeypatch, late) as server:
        async with dialled(address_of(server)) as client:
            await until(lambda: server.server_state.tasks)
            server.should_exit = True
            assert await client.refused() == (503, "not_ready")
            may_accept.set()
        await is_gone(server)
