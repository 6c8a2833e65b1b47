"""WebSockets as frames on a socket, for what no client library would send."""

import asyncio
import contextlib
import json
import os
import struct

SECONDS = 20.0
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

HEADERS = (
    "Host: localhost",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def head(path="/", *headers, without=()):
    """An opening request."""
    lines = [line for line in HEADERS if line.partition(":")[0] not in without]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, *headers, "", ""]).encode()


def frame(opcode, content=b"", *, fin=True, masked=True, reserved=0, length=None):
    """One frame; `length` may be another than the content's."""
    size = len(content) if length is None else length
    mask_bit = 0x80 if masked else 0
    start = bytes([(0x80 if fin else 0) | reserved | opcode])
    if size < 126:
        start += bytes([mask_bit | size])
    elif size < 1 << 16:
        start += struct.pack("!BH", mask_bit | 126, size)
    else:
        start += struct.pack("!BQ", mask_bit | 127, size)
    return start + bytes(4) + content if masked else start + content  # masked with zeros


class RawSocket:
    """A client that sends what it is told to."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, *frames):
        self.writer.write(b"".join(frames))

    async def take_answer(self):
        """Status, headers (names in lower case) and body of the answer to the opening request."""
        async with asyncio.timeout(SECONDS):
            answer = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = answer.decode().strip().split("\r\n")
        pairs = [line.partition(": ")[::2] for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def refused(self):
        """Status and code of an answer in our form."""
        status, headers, body = await self.take_answer()
        error = json.loads(body)["error"]
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"] == error["request_id"]
        assert headers["x-content-type-options"] == "nosniff"
        return status, error["code"]

    async def next(self, seconds=SECONDS):
        """Opcode and content of the next frame of the server, which never splits messages."""
        async with asyncio.timeout(seconds):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            assert not second & 0x80, "servers do not mask"
            size = second
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def closed(self):
        """The code of the close, and that the connection ends after it."""
        while True:
            opcode, content = await self.next()
            if opcode == CLOSE:
                break
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionResetError):
                assert await self.reader.read(1) == b""
        return struct.unpack("!H", content[:2])[0]


@contextlib.asynccontextmanager
async def dialled(address, opening=None, limit=1 << 16):
    """A connection that sent the opening request."""
    reader, writer = await asyncio.open_connection(*address, limit=limit)
    try:
        writer.write(head() if opening is None else opening)
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(address, path="/"):
    """One that was accepted."""
    async with dialled(address, head(path)) as client:
        status, headers, _ = await client.take_answer()
        assert status == 101, (status, headers)
        assert "sec-websocket-extensions" not in headers
        yield client


def noise(size):
    """Text that no compression makes smaller."""
    return os.urandom(size // 2).hex().encode()
