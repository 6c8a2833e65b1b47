"""An init process of a container, and the engine between it and the server, in memory.

The test decides when it writes, what its readers get of its stdout, and when it ends. What is
here is what `ci_init.c` promises; the contract suite holds the real one to it.
"""

import io
import socket
import struct
import tarfile
import zlib
from types import SimpleNamespace

import requests
from docker.errors import APIError, NotFound

from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.keeper.protocol import FrameKind, Phase

KEY = bytes(range(200, 216))

_HEADER = struct.Struct(">16sBBHIQII")
_FACTS = {"Config": {"Labels": {"ci-runner.job": "job", "ci-runner.log-base": "0"}}}
_NEVER = "0001-01-01T00:00:00Z"


def frame(kind, offset, payload=b""):
    return _HEADER.pack(KEY, kind, 1, 0, 1, offset, len(payload), 0) + payload


def multiplexed(content, size=None):
    """As the engine hands it on, in pieces of its own."""
    pieces = [content[at : at + (size or len(content))] for at in range(0, len(content), size or 1)]
    pieces = pieces if size else [content] if content else []
    return b"".join(b"\1\0\0\0" + len(piece).to_bytes(4, "big") + piece for piece in pieces)


class SimulatedInit:
    """A container, as its engine shows it; also that engine's client, and what makes clients."""

    base_url, api_version = "http://engine", "1.41"
    timeout = 60

    def __init__(self, output, exit_code=0):
        self.output = output
        self.exit_code = exit_code
        self.written = self.released = 0
        self.phase = Phase.RUNNING
        self.is_running = True
        self.connections = []
        self.stored = []
        """Offsets that it was told, in order."""
        self.starves = False
        """Whether new readers get nothing, because an older one does not read."""

        self.ends_unread = False
        """Whether the command ends as soon as somebody has attached, and the engine answers nothing
        more while they neither read nor go away."""

        self.writes_on_attach = 0
        """What it writes between an attach and the first look at the spool."""

    # ------------------------------------------------------------------ what the test does

    def write(self, size, cut=0, engine_piece=7):
        """Write so many bytes; who is attached gets the frame, but for its first `cut` bytes."""
        start = self.written
        room = protocol.SLOTS * protocol.SLOT_BYTES - (start - self.released)
        self.written = min(start + size, start + room, len(self.output))
        content = frame(FrameKind.DATA, start, self.output[start : self.written])
        self._send(content[cut:], engine_piece)

    def beat(self):
        self._send(frame(FrameKind.BEAT, self.written))

    def end(self, told=True):
        """The command ends, and so does the container; unless it must wait for room first."""
        self.write(len(self.output))
        if self.written < len(self.output):
            return
        self.phase = Phase.ENDED
        if told:
            self._send(frame(FrameKind.END, self.written, struct.pack(">IQ", self.exit_code, 0)))
        self.stop()

    def stop(self):
        """The container ends, its init process killed unless it had ended."""
        self.is_running = False
        self.drop()

    def drop(self):
        """The engine ends all connections."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()

    def _send(self, content, engine_piece=11):
        for connection in [] if self.starves else self.connections:
            connection.sendall(multiplexed(content, engine_piece))

    # ------------------------------------------------------------------ the engine's client

    def new_client(self):
        return self

    def close(self):
        pass

    def _check_answers(self):
        if self.ends_unread and any(map(_is_open, self.connections)):
            raise requests.ReadTimeout

    def inspect_container(self, container):
        self._check_answers()
        status = "running" if self.is_running else "exited"
        state = {"Status": status, "ExitCode": self.exit_code, "OOMKilled": False}
        return {**_FACTS, "State": {**state, "StartedAt": _NEVER, "FinishedAt": _NEVER}}

    def post(self, url, params, headers, stream, timeout):
        """Attach."""
        if not self.is_running:
            raise APIError("not running")
        if self.starves:
            raise requests.Timeout
        ours, theirs = socket.socketpair()
        self.connections.append(ours)
        self.write(self.writes_on_attach)
        if self.ends_unread:
            self.phase = Phase.ENDED
        file = SimpleNamespace(fp=theirs.makefile("rb"))
        return SimpleNamespace(status_code=101, raw=SimpleNamespace(_fp=file), close=theirs.close)

    def put_archive(self, container, path, content):
        assert path == f"/{protocol.MESSAGES}"
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            (name,) = archive.getnames()
        offset = int(name.removeprefix("stored-"))
        assert offset <= self.written
        self.stored.append(offset)
        self.released = max(offset, self.released)

    def get(self, url, params, headers, stream, timeout):
        self._check_answers()
        content = self._file(params["path"])
        if content is None:
            raise NotFound("no such file")
        info = tarfile.TarInfo("file")
        info.size = len(content)
        padded = content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)
        return _Answer(info.tobuf() + padded + b"\0" * 1024)

    def _file(self, path):
        if path == protocol.STATE:
            head = struct.pack(
                ">4sIQQIIQQ12x",
                b"CIO1",
                self.phase,
                self.written,
                self.released,
                self.exit_code,
                1,
                0,
                0,
            )
            return head + struct.pack(">I", zlib.crc32(head))
        for number in range(protocol.SLOTS):
            if path == protocol.slot_path(number * protocol.SLOT_BYTES):
                return self._slot(number)
        return None

    def _slot(self, number):
        """What was written there last, over what was there before."""
        content = b""
        size = protocol.SLOT_BYTES
        for start in range(number * size, self.written, protocol.SLOTS * size):
            piece = self.output[start : min(start + size, self.written)]
            content = piece + content[len(piece) :]
        return content


def _is_open(connection):
    """Whether who is attached has not closed it."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True


class _Answer:
    """An answer of the engine: a stream of a tar archive."""

    status_code = 200

    def __init__(self, content):
        self._content = content
        self.raw = self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def stream(self, size, decode_content):
        for at in range(0, len(self._content), 700):
            yield self._content[at : at + 700]
