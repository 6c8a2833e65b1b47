"""Messages of the model-job WebSocket, and the values that jobs left."""

import base64
import io
import json
import struct

import numpy as np
import pytest

from ci_common.errors import ArtifactNotFoundError
from ci_common.events import LogEvent
from ci_common.job import Artifact
from ci_common.progress import Progress
from ci_server.apis.models import messages, npv_values
from ci_server.apis.models.messages import LOG_PIECE_BYTES, LogMessages
from support.jobs import a_job

JOB = a_job(job_id="j1")


def pieces(content, start=0):
    return [json.loads(one) for one in LogMessages().encode(JOB.job_id, LogEvent(content, start))]


def test_the_log_is_cut_where_lines_end_and_says_where_to_go_on():
    content = b"line\n" * 20_000
    told = pieces(content, 1000 + len(content))
    assert "".join(one["data"] for one in told).encode() == content
    assert all(one["data"].endswith("\n") for one in told)
    assert all(len(one["data"]) <= LOG_PIECE_BYTES for one in told)
    ends = np.cumsum([len(one["data"]) for one in told]) + 1000
    assert [one["offset"] for one in told] == ends.tolist()


def test_bytes_that_are_no_text_are_there_as_they_are():
    content = bytes(range(256)) * 200
    told = pieces(content, len(content))
    raw = b"".join(base64.b64decode(one["raw"]) for one in told)
    assert raw == content
    assert all(one["data"] for one in told)


@pytest.mark.parametrize("worst", [b"\x00", b"\xff"])
def test_no_message_of_the_log_is_larger_than_clients_take(worst):
    """The limit of the library most of them use is 1 MiB."""
    encoded = LogMessages().encode(JOB.job_id, LogEvent(worst * (128 << 10), 128 << 10))
    assert max(map(len, encoded)) < 80 << 10


def test_an_event_is_encoded_once_for_all():
    cache = LogMessages()
    event = LogEvent(b"a\n", 2)
    assert cache.encode(JOB.job_id, event) is cache.encode(JOB.job_id, LogEvent(b"a\n", 2))


def test_what_the_cache_keeps_is_bounded():
    cache = LogMessages()
    for number in range(1, 8000):
        cache.encode(JOB.job_id, LogEvent(b"x" * LOG_PIECE_BYTES, number * LOG_PIECE_BYTES))
    assert cache._bytes <= messages._CACHE_BYTES
    assert len(cache._entries) < 1200


def test_what_jobs_print_can_always_be_sent():
    step = Progress(1, 2, "\ud800\x00", message="\u2028")
    assert json.loads(messages.progress(JOB, step).encode("utf-8"))["phase"] == "\ud800\x00"


# ------------------------------------------------------------------ values


class Files:
    """Port ArtifactReader, of one file."""

    def __init__(self, content):
        self.content = content

    def open(self, job_id, artifact):
        if self.content is None:
            raise ArtifactNotFoundError
        return io.BytesIO(self.content)


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def npy_with_header(length, more=b""):
    """Three values, behind a header of that length as numpy writes one, and of more bytes."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }".ljust(length - 1) + b"\n"
    size = struct.pack("<H", len(header + more))
    return b"\x93NUMPY\x01\x00" + size + header + more + bytes(24)


async def frames(content, size=None):
    artifact = Artifact("output/npv.npy", len(content or b"") if size is None else size, "0" * 64)
    found = npv_values.value_frames(Files(content), "j1", artifact)
    return [frame async for frame in found]


@pytest.mark.anyio
@pytest.mark.parametrize("shape", [(0,), (1,), (100_000,), (3, 5), (2, 3, 4)])
async def test_values_are_read_without_copying(shape):
    wanted = np.random.default_rng(1).normal(size=shape)
    header, *chunks = await frames(npy(wanted))
    assert header[:4] == b"CINV"
    version, kind, rank = header[4:7]
    assert (version, kind, rank) == (1, 1, len(shape))
    assert struct.unpack_from(f"<{rank}Q", header, 8) == shape
    assert len(header) % 16 == 0
    assert all(len(chunk) <= 1 << 20 for chunk in chunks)
    values = [np.frombuffer(chunk, "<f8") for chunk in chunks]
    assert not any(array.flags.owndata for array in values)
    found = np.concatenate([np.empty(0), *values]).reshape(shape)
    np.testing.assert_array_equal(found, wanted)


HOSTILE = {
    "nothing": b"",
    "text": b"1,2,3\n" * 100,
    "another version": npy(np.zeros(3), version=(2, 0)),
    "integers": npy(np.zeros(3, "i8")),
    "big-endian": npy(np.zeros(3, ">f8")),
    "Fortran order": npy(np.asfortranarray(np.zeros((3, 2)))),
    "a value, not an array": npy(np.float64(1)),
    "objects": npy(np.array([{}], dtype=object)),
    "cut short": npy(np.zeros(3))[:-1],
    "too long": npy(np.zeros(3)) + b"x",
    "a huge shape": npy(np.zeros(3)).replace(b"(3,)", b"(%d,)" % 10**17),
    "code": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + b"__import__('os').abort()".ljust(60),
    "a long header": b"\x93NUMPY\x01\x00\xff\xff" + b"x" * 70_000,
    "a header that goes on behind what is read": npy_with_header(4096, b"x" * 904),
    "many dimensions": npy(np.zeros([1] * 20)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
async def test_a_file_without_such_values_has_none(content):
    assert await frames(content) == [messages.values_header((0,))]


@pytest.mark.anyio
async def test_the_longest_header():
    assert await frames(npy_with_header(4096)) == [messages.values_header((3,)), bytes(24)]
    assert await frames(npy_with_header(4097)) == [messages.values_header((0,))]


@pytest.mark.anyio
async def test_a_job_that_left_no_values_has_none():
    none = [messages.values_header((0,))]
    assert [one async for one in npv_values.value_frames(Files(None), "j1", None)] == none
    assert await frames(None, size=10) == none


@pytest.mark.anyio
async def test_values_that_end_early_are_no_end(monkeypatch):
    content = npy(np.zeros(100))
    with pytest.raises(OSError, match="end 8 bytes early"):
        await frames(content[:-8], size=len(content))
