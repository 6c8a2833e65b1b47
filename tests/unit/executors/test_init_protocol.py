"""What the init process of a container writes, read back: frames however cut, and its state."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.keeper.protocol import FrameKind, FrameParser, Phase, State

KEY = bytes(range(1, 17))
HEADER = struct.Struct(">16sBBHIQII")


def frame(kind, offset, payload=b""):
    return HEADER.pack(KEY, kind, 1, 0, 1, offset, len(payload), 0) + payload


# Pieces of the key in the output, and everything else.
contents = st.lists(st.sampled_from([KEY[:1], KEY[:7], KEY[:15], b"x", b"\n"]), max_size=20)
outputs = st.lists(contents.map(b"".join), max_size=6)


def stream(pieces):
    """The bytes of a whole stdout, and the output in it."""
    content, offset = b"", 0
    for piece in pieces:
        content += frame(FrameKind.DATA, offset, piece) + frame(FrameKind.BEAT, offset + len(piece))
        offset += len(piece)
    return content + frame(FrameKind.END, offset, struct.pack(">IQ", 3, 0))


def parsed(content, cuts):
    parser, found, at = FrameParser(KEY), [], 0
    for stop in [*cuts, len(content)]:
        found += parser.feed(content[at:stop])
        at = max(at, stop)
    return found


@given(outputs, st.lists(st.integers(0, 500), max_size=10).map(sorted))
def test_frames_cut_anywhere(pieces, cuts):
    content = stream(pieces)
    found = parsed(content, [min(cut, len(content)) for cut in cuts])
    data = [one for one in found if one.kind is FrameKind.DATA]
    assert b"".join(one.payload for one in data) == b"".join(pieces)
    offset = 0
    for one in data:
        assert one.offset == offset
        offset += len(one.payload)
    assert (found[-1].kind, found[-1].offset) == (FrameKind.END, offset)
    assert protocol.parse_end(found[-1].payload) == protocol.End(3, 0)


@given(outputs, st.data())
def test_who_begins_in_the_middle_gets_the_frames_that_follow(pieces, data):
    content = stream(pieces)
    begin = data.draw(st.integers(0, len(content)))
    found = parsed(content[begin:], [])
    whole = parsed(content, [])
    wanted = [one for one in whole if one.kind is not FrameKind.DATA or one.payload]
    assert found == wanted[len(wanted) - len(found) :]
    starts = [at for at in range(len(content)) if content.startswith(KEY, at)]
    if starts and begin <= starts[-1]:
        assert found[-1].kind is FrameKind.END


def state_bytes(phase, written, released, code=0, lost=0):
    content = struct.pack(">4sIQQIIQQ12x", b"CIO1", phase, written, released, code, 1, 0, lost)
    return content + struct.pack(">I", zlib.crc32(content))


def test_the_state_is_read_back():
    content = state_bytes(2, 1 << 40, (1 << 40) - 7, 137, 5)
    assert protocol.parse_state(content) == State(Phase.ENDED, 1 << 40, (1 << 40) - 7, 137, 5)


@pytest.mark.parametrize("at", range(64))
def test_a_state_that_is_half_written_does_not_count(at):
    old, new = state_bytes(1, 100, 0), state_bytes(2, 1 << 25, 99, 137, 5)
    torn = new[:at] + old[at:]
    assert protocol.parse_state(torn) in (None, protocol.parse_state(old))


@pytest.mark.parametrize(
    ("phase", "written", "released"),
    [(77, 5, 0), (1, 5, 6), (1, protocol.SPOOL_BYTES + 6, 5), (2, 1 << 60, 0)],
)
def test_a_state_that_contradicts_itself_is_not_believed(phase, written, released):
    """The job could put it there, in an image in which it may write to `/`."""
    assert protocol.parse_state(state_bytes(phase, written, released)) is None


@pytest.mark.parametrize("content", [b"", b"x" * 63, b"\0" * 64, b"x" * 65])
def test_what_is_no_state(content):
    assert protocol.parse_state(content) is None


@pytest.mark.parametrize(
    ("offset", "path"),
    [
        (0, "00"),
        (protocol.SLOT_BYTES - 1, "00"),
        (protocol.SPOOL_BYTES + protocol.SLOT_BYTES, "01"),
    ],
)
def test_the_spool_is_a_ring(offset, path):
    assert protocol.slot_path(offset) == f"/.ci-runner/spool/{path}"


@pytest.mark.parametrize("processor", ["amd64", "x86_64", "arm64", "aarch64"])
def test_there_is_a_program_for_the_processors_of_engines(processor):
    assert protocol.binary(processor)[:4] == b"\x7fELF"


def test_there_is_none_for_others():
    assert protocol.binary("s390x") is None
