"""What a WebSocket reports of a job's log, wherever in it the client resumes."""

import json

import pytest

from ci_common.errors import StorageUnavailableError
from ci_common.progress import MAX_LINE_BYTES
from ci_server.apis.models import socket as model_socket
from ci_server.apis.models.messages import LogMessages
from ci_server.apis.models.socket import SocketApi
from ci_server.services.result_files import FileResult
from support.stream_world import World

pytestmark = pytest.mark.anyio

INITIALIZED = b'::initialized {"pipelineId":"term","nodeCount":7}\n'


def step(current):
    return b'::progress {"current":%d,"total":9,"phase":"p"}\n' % current


LOG = b"".join(
    [
        b"note " + step(1),
        INITIALIZED,
        step(2),
        b"x" * 40 + b"\n",
        step(3),
        "日本語 ".encode() + step(4),
        step(5)[:-1] + b"\r\n",
        step(6)[:-1],
    ]
)
STEPS = [2, 3, 5]
"""In the order of the log; the last line has no end, and may go on."""

LONG = b"".join(b"a line of the log, number %08d\n" % number for number in range(2500))
assert len(LONG) > model_socket._LOOK_BACK_BYTES


@pytest.fixture
async def world(tmp_path):
    world = await World().open(tmp_path)
    yield world
    await world.database.close()


class Socket:
    """Keeps what is sent."""

    def __init__(self):
        self.messages = []

    async def send_text(self, text):
        self.messages.append(json.loads(text))

    def all(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    @property
    def steps(self):
        return [message["current"] for message in self.all("progress")]


class NoResults:
    """Of a job that left none."""

    async def result(self, job):
        return FileResult(None)


async def resumed(world, job, start):
    api = SocketApi(None, NoResults(), world.streams, None, LogMessages())
    socket = Socket()
    await model_socket._Watching(api, socket, job, start, with_values=False).run()
    assert socket.messages[-1]["type"] == "complete"
    return socket


@pytest.mark.parametrize("before", [b"", LONG], ids=["near the beginning", "far from it"])
async def test_it_resumes_in_the_middle_of_a_line(world, before):
    log = before + LOG
    job = await world.job(log, finish=True)
    ends = {current: log.index(b"\n", log.index(step(current)[:-1])) + 1 for current in STEPS}
    for start in range(len(before), len(log) + 1):
        socket = await resumed(world, job, start)
        assert socket.steps == [one for one, end in ends.items() if end > start], start
        content = "".join(message["data"] for message in socket.all("log"))
        assert content == log[start:].decode(errors="replace")


@pytest.mark.parametrize("before", [b"", LONG[: 60 << 10]])
async def test_what_the_job_works_on_is_told_once_wherever_it_resumes(world, before):
    log = before + LOG
    job = await world.job(log, finish=True)
    for start in range(len(before), len(log) + 1):
        (told,) = (await resumed(world, job, start)).all("initialized")
        assert (told["pipelineId"], told["nodeCount"]) == ("term", 7), start


async def test_what_is_told_after_progress_is_not_what_the_job_works_on(world):
    """The same as for who watches from the beginning."""
    log = step(2) + INITIALIZED + step(3)
    job = await world.job(log, finish=True)
    for start in range(len(log) + 1):
        (told,) = (await resumed(world, job, start)).all("initialized")
        assert told["pipelineId"] is None, start


@pytest.mark.parametrize("before", [b"", LONG])
@pytest.mark.parametrize("spare", [0, 1])
async def test_the_longest_report(world, before, spare):
    line = b'::progress {"current":2,"total":9,"phase":"p"}'
    line = line.ljust(MAX_LINE_BYTES + spare) + b"\n"
    job = await world.job(before + line, finish=True)
    for start in (0, 1, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + spare):
        socket = await resumed(world, job, len(before) + start)
        assert socket.steps == ([] if spare else [2])


@pytest.mark.parametrize("start", [5, len(LONG) + 5])
async def test_where_the_log_before_cannot_be_read_no_report_is_invented(world, monkeypatch, start):
    log = (LONG if start > 5 else b"") + b"note " + step(1) + step(2)
    job = await world.job(log, finish=True)
    read = world.streams.read

    def unreadable(job, offset, end):
        raise StorageUnavailableError

    monkeypatch.setattr(world.streams, "read", unreadable)
    assert (await resumed(world, job, start)).steps == [2]
    monkeypatch.setattr(world.streams, "read", read)
    assert (await resumed(world, job, start)).steps == [2]
