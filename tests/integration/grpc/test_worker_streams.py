"""The output of jobs as streams: all of it, exactly, whenever one comes and whoever else does."""

import asyncio
import contextlib
import tempfile
import threading
from pathlib import Path

import grpc
import grpc.aio
import pytest

from ci_common.worker_api import worker_pb2 as messages
from ci_common.worker_api.worker_pb2_grpc import JobServiceStub
from ci_worker.streaming import OutputReader
from support import run_program
from support.job_worker import OPERATOR, refusal
from support.run_schemas import Runs, ended
from support.waiting import until_sync

EVERY_BYTE = """
import os, sys
for part in range(8):
    os.write(1, bytes(range(256)) * 700 + b"\\xff\\xfe\\r" + b"line %d\\n" % part)
"""
WAITS = "while [ ! -e {go} ]; do sleep 0.05; done; "


@pytest.fixture
def go():
    """A file that is not there yet, where the user of jobs can see it."""
    with tempfile.TemporaryDirectory(prefix="ci-test-go-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory, "go")


class Reader(threading.Thread):
    """Reads a stream to its end."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.content, self.error = b"", None
        self._call = call
        self.start()

    def run(self):
        try:
            for chunk in self._call:
                self.content += chunk.payload
        except grpc.RpcError as error:
            self.error = error.code().name, error.details()

    def to_end(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive()
        return self.content


def http_log(server, job_id):
    return server.live.log(job_id)


def test_streams_from_whenever_are_what_http_sends(own_worker, go):
    with own_worker(max_concurrent_jobs=1) as server, server.client() as client:
        blocker = client.create("sleep", "60")
        client.running(blocker.id)
        script = f"echo begun; {WAITS.format(go=go)} exec python3 -c '{EVERY_BYTE}'"
        job = client.create("sh", "-c", script)
        assert client.get(job.id).status == "INITIALIZING"
        before = Reader(client.stream(job.id))
        client.stop(blocker.id)
        until_sync(lambda: before.content, lambda seen: b"begun" in seen, "the first line")
        middle = Reader(client.stream(job.id))
        go.touch()
        assert client.ended(job.id).exitCode == 0
        expected = http_log(server, job.id)
        assert len(expected) > 8 * 256 * 700
        assert before.to_end() == middle.to_end() == client.output(job.id) == expected
        for offset in (1, 300, 128 << 10, len(expected) - 1, len(expected)):
            assert client.output(job.id, offset=offset) == expected[offset:]
            assert client.output(job.id, offset=offset, follow="false") == expected[offset:]


def test_a_run_of_another_door_has_the_same_log_here(own_worker):
    with own_worker(run_command=run_program.COMMAND) as server:
        steps = [("say", "grüße"), ("progress", {"current": 1, "total": 2, "phase": "x"})]
        run = ended(server.live, Runs(server.live.http), *steps)
        with server.client(server.certificates.client(organization=OPERATOR)) as client:
            assert client.output(run["job_id"]) == http_log(server, run["job_id"])
            assert client.get(run["job_id"]).status == "COMPLETED"


def test_what_is_there_without_waiting_for_more(client):
    job = client.create("sh", "-c", "printf 'begun \\303'; sleep 60")
    seen = until_sync(
        lambda: client.output(job.id, follow="false"), lambda log: b"begun" in log, "the output"
    )
    assert seen.endswith(b"begun \xc3"), "half a character is output, too"
    assert client.output(job.id, follow="false", offset=len(seen) - 2) == b" \xc3"
    assert refusal(lambda: client.output(job.id, follow="false", offset=len(seen) + 1)) == (
        "INVALID_ARGUMENT",
        f"the offset {len(seen) + 1} is not in the log, which has {len(seen)} bytes",
    )
    client.stop(job.id)


@pytest.mark.parametrize(
    "metadata", [{"offset": "-1"}, {"offset": "x"}, {"offset": "9" * 30}, {"follow": "no"}]
)
def test_metadata_that_is_not_understood(client, metadata):
    job = client.ended(client.create("true").id)
    code, message = refusal(lambda: client.output(job.id, **metadata))
    assert code == "INVALID_ARGUMENT"
    assert next(iter(metadata)) in message


def test_an_offset_behind_the_end(client):
    job = client.ended(client.create("true").id)
    size = len(client.output(job.id))
    assert client.output(job.id, offset=size) == b""
    assert refusal(lambda: client.output(job.id, offset=size + 1))[0] == "INVALID_ARGUMENT"


def test_two_hundred_streams_while_jobs_are_started(worker, go):
    """Each start is a child process of the server."""
    with worker.client() as client:
        script = f"echo begun; {WAITS.format(go=go)} exec python3 -c '{EVERY_BYTE}'"
        job = client.create("sh", "-c", script)
        until_sync(lambda: client.output(job.id, follow="false"), lambda log: b"begun" in log)
        credentials = worker.certificates.credentials(worker.certificates.client())
        contents, others = asyncio.run(_watched(worker, credentials, job.id, go, client))
        assert [client.ended(other.id).exitCode for other in others] == [0] * 20
        expected = http_log(worker, job.id)
        assert len(expected) > 8 * 256 * 700
        assert len(contents) == 200
        assert contents == [expected] * 200


async def _watched(worker, credentials, job_id, go, client):
    async with grpc.aio.secure_channel(worker.target, credentials) as channel:
        stub = JobServiceStub(channel)
        calls = [stub.GetJobsStream(messages.GetJobsStreamReq(id=job_id)) for _ in range(200)]
        first = [(await call.read()).payload for call in calls]
        others = [await asyncio.to_thread(client.create, "true") for _ in range(20)]
        go.touch()
        rest = await asyncio.gather(*[_content(call) for call in calls])
        return [one + two for one, two in zip(first, rest, strict=True)], others


async def _content(call):
    content = bytearray()
    while (chunk := await call.read()) is not grpc.aio.EOF:
        content += chunk.payload
    return bytes(content)


def test_streams_are_bounded_and_one_that_is_gone_costs_nothing(own_worker):
    settings = {"max_streams_per_user": 2, "limit_local": True}
    with own_worker(**settings) as server, server.client() as client:
        job = client.create("sh", "-c", "yes | head -c 60000000; sleep 60")
        calls = [client.stream(job.id) for _ in range(2)]
        for call in calls:
            assert next(call).payload
        code, message = refusal(lambda: client.output(job.id))
        assert code == "RESOURCE_EXHAUSTED"
        assert "CI_MAX_STREAMS_PER_USER" in message
        calls[0].cancel()

        def open_another():
            with contextlib.suppress(grpc.RpcError):
                return next(client.stream(job.id)).payload
            return b""

        assert until_sync(open_another, what="room for another stream")
        client.stop(job.id)


def test_requests_are_bounded(own_worker):
    settings = {"requests_per_second_per_user": 0.01, "request_burst_seconds": 300}
    settings |= {"limit_local": True, "max_live_jobs_per_user": 1}
    with own_worker(**settings) as server, server.client() as client:
        client.create("sleep", "60")
        code, message = refusal(lambda: client.create("true"))
        assert (code, "jobs" in message) == ("RESOURCE_EXHAUSTED", True)
        code, message = refusal(lambda: [client.list() for _ in range(9)])
        assert (code, "CI_REQUESTS_PER_SECOND_PER_USER" in message) == ("RESOURCE_EXHAUSTED", True)


def test_credentials_that_fail_are_throttled(own_worker):
    with own_worker(failed_logins_per_minute=3, limit_local=True) as server:
        known = server.certificates.client("ann")
        with server.client(known) as good:
            assert good.list() == ([], None)
        revoked = [server.certificates.client(f"user{number}") for number in range(4)]
        server.certificates.revoke(*revoked)
        answers = []
        for pair in revoked:
            with server.client(pair) as client:
                until_sync(lambda client=client: refused(client), what=f"{len(answers)} refusals")
                answers.append(refused(client))
        assert answers[0] in ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
        assert answers[-1] == "RESOURCE_EXHAUSTED"
        with server.client(known) as good:
            assert good.list() == ([], None), "who was good before is known"


def refused(client):
    try:
        client.list()
    except grpc.RpcError as error:
        return error.code().name
    return None


def test_streams_of_a_killed_server_are_resumed(own_worker):
    with own_worker() as server, server.client() as client:
        script = "for n in $(seq 1 400); do echo line $n; sleep 0.01; done"
        job = client.create("sh", "-c", script)
        contents = [bytearray() for _ in range(10)]

        def watch(content):
            def write(chunk):
                content.extend(chunk.payload)

            def open_stream(offset):
                return client.stream(job.id, offset=offset)

            OutputReader(open_stream, write).run()

        threads = [threading.Thread(target=watch, args=(one,), daemon=True) for one in contents]
        for thread in threads:
            thread.start()
        until_sync(lambda: min(map(len, contents)), lambda size: size > 1000, "output everywhere")
        server.live.kill()
        server.live.start()
        for thread in threads:
            thread.join(60)
        job = client.ended(job.id)
        assert (job.status, job.exitCode) == ("COMPLETED", 0)
        expected = http_log(server, job.id)
        assert expected.count(b"line ") == 400
        assert [bytes(one) for one in contents] == [expected] * 10


def test_streams_of_a_server_that_stops(own_worker):
    with own_worker() as server, server.client() as client:
        job = client.create("sh", "-c", "echo begun; sleep 60")
        large = client.create("sh", "-c", "yes | head -c 60000000; sleep 60")
        live, stalled = Reader(client.stream(job.id)), client.stream(large.id)
        next(stalled)  # and no more
        until_sync(lambda: live.content, lambda seen: b"begun" in seen, "the first line")
        server.live.terminate(10)
        live.to_end()
        assert live.error == ("UNAVAILABLE", "the server is stopping; resume with the offset")
        assert refusal(lambda: list(stalled))[0] == "UNAVAILABLE"
        server.live.start()
        client.stop(job.id)
        client.stop(large.id)
