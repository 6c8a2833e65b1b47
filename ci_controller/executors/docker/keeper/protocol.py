"""What `ci_init.c` reads and writes: its directory, configuration, state and frames.

Numbers are big-endian. The layouts are described at the head of `ci_init.c`.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources

DIRECTORY = ".ci-runner"
"""In the root directory of the container; it is root's, and nobody else may enter."""

PROGRAM = f"/{DIRECTORY}/ci-init"
STATE = f"/{DIRECTORY}/state"
MESSAGES = f"{DIRECTORY}/in"
CONFIG = f"{DIRECTORY}/config"

SLOTS = 16
SLOT_BYTES = 4 << 20
SPOOL_BYTES = SLOTS * SLOT_BYTES

CAPABILITIES = ("KILL", "SETGID", "SETUID")
"""To start the command as another user, and to pass signals on to it."""

KILL_SIGNAL = "SIGPWR"
"""Makes it kill all processes of the job, and then end as if the job had ended by itself. gVisor
knows no real-time signals."""

CANNOT_START = 125
"""Its exit code when it did not start the command."""

KEY_BYTES = 16

_HEADER = struct.Struct(">16sBBHIQII")
_STATE = struct.Struct(">4sIQQIIQQI8xI")
_END = struct.Struct(">IQ")
_MAGIC = b"CIO1"
_CHECKED_BYTES = _STATE.size - 4

_PROCESSORS = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


class Phase(IntEnum):
    """How far the init process is."""

    STARTING = 0
    RUNNING = 1
    ENDED = 2
    """The command has ended, and everything it wrote is in the spool."""
    REFUSED = 3
    """The command was not started."""


_PHASES = frozenset(Phase)


class FrameKind(IntEnum):
    """What a frame carries."""

    DATA = 1
    BEAT = 2
    """Nothing: it shows that frames come through."""
    END = 3
    REFUSED = 4


@dataclass(frozen=True, slots=True)
class State:
    """What the init process last wrote down. Offsets are those of the command's output."""

    phase: Phase
    written: int
    """So many bytes went into the spool."""
    released: int
    """What is before this may be overwritten."""
    exit_code: int
    lost: int
    """Bytes that the disk did not take at the end."""
    refusal: int = 0
    """The errno for which the command was not started."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the init process's stdout."""

    kind: FrameKind
    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """What the last frame tells."""

    exit_code: int
    lost: int


def binary(processor: str) -> bytes | None:
    """The program for an engine's processor, by the name that the engine gives it; `None` when
    there is none for it.
    """
    name = _PROCESSORS.get(processor)
    if name is None:
        return None
    return (resources.files(__package__) / f"ci-init.{name}").read_bytes()


def config(key: bytes, attempt: int, user: int, *, terminal: bool = False) -> bytes:
    """The configuration of one container."""
    return b"%s %d %d %d %d %d %d\n" % (
        key.hex().encode(),
        attempt,
        user,
        user,
        SLOTS,
        SLOT_BYTES,
        terminal,
    )


def stored_message(offset: int) -> str:
    """The name of the file that says that everything before this offset is stored."""
    return f"stored-{offset}"


def slot_path(offset: int) -> str:
    """The file of the spool that has, or had, the byte at this offset."""
    return f"/{DIRECTORY}/spool/{offset // SLOT_BYTES % SLOTS:02d}"


def parse_state(content: bytes) -> State | None:
    """The state; `None` when it was read while it was being written, and is to be read again, or
    when no init process of ours can have written it.
    """
    if len(content) != _STATE.size:
        return None
    magic, phase, written, released, exit_code, _, _, lost, refusal, check = _STATE.unpack(content)
    if magic != _MAGIC or check != zlib.crc32(content[:_CHECKED_BYTES]):
        return None
    if phase not in _PHASES or not released <= written <= released + SPOOL_BYTES:
        return None
    return State(Phase(phase), written, released, exit_code, lost, refusal)


def parse_end(payload: bytes) -> End:
    """The content of the last frame."""
    return End(*_END.unpack(payload))


class FrameParser:
    """Finds the frames in the bytes of the init process's stdout, however they are cut.

    A reader that attaches mid-stream begins somewhere inside a frame: what comes before the first
    key is left out. The job does not know the key, so it cannot forge frames.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._rest = b""
        self._offset = 0
        self._left = 0
        """Of a frame of data that has begun: its next byte, and how many are still to come."""

    def feed(self, content: bytes) -> list[Frame]:
        """The frames in the next bytes. What has come of a frame of data is a frame of its own, so
        that nothing waits, and nothing large is copied twice.
        """
        content = self._rest + content if self._rest else content
        frames: list[Frame] = []
        at = 0
        while True:
            if self._left:
                at = self._take_data(content, at, frames)
            header = self._next_header(content, at)
            if header is None:
                break
            at, kind, offset, length = header
            if kind is FrameKind.DATA:
                at, self._offset, self._left = at + _HEADER.size, offset, length
                continue
            stop = at + _HEADER.size + length
            if len(content) < stop:
                break
            frames.append(Frame(kind, offset, content[at + _HEADER.size : stop]))
            at = stop
        self._rest = content[self._keep_from(content, at) :]
        return frames

    def _take_data(self, content: bytes, at: int, frames: list[Frame]) -> int:
        piece = content[at : at + self._left]
        if piece:
            frames.append(Frame(FrameKind.DATA, self._offset, piece))
            self._offset += len(piece)
            self._left -= len(piece)
        return at + len(piece)

    def _next_header(self, content: bytes, at: int) -> tuple[int, FrameKind, int, int] | None:
        """Where it begins, and what it says; `None` while there is none that is whole."""
        at = content.find(self._key, at)
        if at < 0 or len(content) - at < _HEADER.size:
            return None
        _, kind, _, _, _, offset, length, _ = _HEADER.unpack_from(content, at)
        return at, FrameKind(kind), offset, length

    def _keep_from(self, content: bytes, at: int) -> int:
        """Where what may still become a header begins."""
        found = content.find(self._key, at)
        return found if found >= 0 else max(len(content) - KEY_BYTES + 1, at)
