"""Watching a job by its WebSocket: the messages, their order, and the same bytes as elsewhere."""

import json

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from support import engine, events, projects
from support.websocket_client import Watched, opened, url_of, watch

pytestmark = pytest.mark.docker

TOLD = '::initialized {"pipelineId":"term","assetsHash":"ab","nodeCount":7}'
MODEL = projects.shell(
    f"""echo '{TOLD}'
where=$(python -c 'import engine; print(engine.__path__[0])')
exec python -m engine run $where/golden/term_life_100x10 --output output
"""
)
NOISE = projects.python(
    "import os, sys\n"
    "sys.stdout.buffer.write(bytes(range(256)) * 1000 + '日本語 ✓\\n'.encode() * 20000)\n"
    'sys.stdout.write(\'::progress {"current":0,"total":3,"phase":"a"}\\n\')\n'
    'sys.stdout.write(\'::progress {"current":2,"total":3,"phase":"a","message":"m"}\\n\')\n'
    "sys.stdout.write('::progress {broken}\\nno newline')\n"
)


@pytest.fixture(scope="module")
def model(server):
    """A finished job that ran a model, as the native API shows it, and its log."""
    job, log = server.run(projects.ANY, MODEL)
    assert job["success"] is True, log
    return job, log


@pytest.fixture(scope="module")
def noisy(server):
    return server.run(projects.ANY, NOISE)


def test_a_model_from_beginning_to_end(server, model):
    job, log = model
    seen = watch(server, job["job_id"])
    assert seen.types[:3] == ["connected", "log", "initialized"]
    assert seen.types[-2:] == ["binary", "complete"]
    assert seen.code == 1000
    assert set(seen.only("connected")) == {"type", "timestamp"}
    assert seen.only("initialized") == {
        "type": "initialized",
        "jobId": job["job_id"],
        "pipelineId": "term",
        "assetsHash": "ab",
        "nodeCount": 7,
    }
    assert seen.log == log
    steps = seen.all("progress")
    assert all(
        set(step) == {"type", "jobId", "current", "total", "phase", "message"} for step in steps
    )
    assert min(step["current"] for step in steps) == 1
    (results,) = seen.binary
    assert results[:1] == b"\n"
    found = json.loads(results)
    document = json.loads(
        server.http.get(f"/jobs/{job['job_id']}/artifacts/output/results.json").content
    )
    assert found["statistics"]["mean"] == document["statistics"]["mean_npv"]
    assert found["scenarioCount"] == document["scenario_count"] == 10
    assert seen.only("complete") == {
        "type": "complete",
        "jobId": job["job_id"],
        "status": "completed",
        "executionTimeMs": found["executionTimeMs"],
        "resultHash": document["result_hash"],
    }


def test_the_values_as_binary_frames(server, model):
    job, _ = model
    seen = watch(server, job["job_id"], binary="f64")
    assert seen.types[-4:] == ["binary", "binary", "binary", "complete"]
    results, header, *chunks = seen.binary
    assert json.loads(results)["scenarioCount"] == 10
    assert (header[:4], header[4:7]) == (b"CINV", bytes([1, 1, 1]))
    wanted = json.loads(
        server.http.get(f"/jobs/{job['job_id']}/artifacts/output/results.json").content
    )["distribution"]
    assert np.concatenate([np.frombuffer(chunk, "<f8") for chunk in chunks]).tolist() == wanted


def test_the_same_bytes_by_every_way(server, noisy):
    """Of a job that is no model at all."""
    job, log = noisy
    seen = watch(server, job["job_id"])
    stream = events.stream(server.http, job["job_id"], params={"from_beginning": True})
    assert seen.log == events.logged(stream) == log
    assert seen.binary == []
    assert seen.only("complete")["resultHash"] is None
    (step,) = seen.all("progress")
    assert (step["current"], step["total"], step["phase"], step["message"]) == (2, 3, "a", "m")
    assert seen.only("initialized") == {
        "type": "initialized",
        "jobId": job["job_id"],
        "pipelineId": None,
        "assetsHash": job["package_sha256"],
        "nodeCount": None,
    }


def test_it_goes_on_at_every_offset_it_was_told(server, noisy):
    job, log = noisy
    offsets = [message["offset"] for message in watch(server, job["job_id"]).all("log")]
    assert len(offsets) > 10
    for offset in (*offsets[::5], offsets[-1], 1, 12345):
        seen = watch(server, job["job_id"], offset=offset)
        assert seen.log == log[offset:]
        assert seen.types[-1] == "complete"


def test_who_resumes_is_told_again_what_the_job_works_on(server, model):
    job, log = model
    seen = watch(server, job["job_id"], offset=len(log))
    assert seen.types == ["connected", "initialized", "binary", "complete"]
    assert seen.only("initialized")["nodeCount"] == 7


def test_a_job_that_fails(server):
    job, _ = server.run(projects.ANY, projects.shell("echo no such luck; exit 3"))
    seen = watch(server, job["job_id"], binary="f64")
    assert seen.types == ["connected", "log", "initialized", "error"]
    assert seen.only("error") == {
        "type": "error",
        "jobId": job["job_id"],
        "error": "no such luck",
        "details": job["message"],
        "status": "failed",
        "reason": "exit",
        "exitCode": 3,
    }
    assert seen.code == 1000


def test_a_job_that_is_cancelled_while_it_is_watched(server):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    server.under_way(job_id, b"started")
    with opened(url_of(server, job_id)) as connection:
        assert json.loads(connection.recv(30))["type"] == "connected"
        assert json.loads(connection.recv(30))["data"] == "started\n"
        server.http.delete(f"/jobs/{job_id}")
        seen = Watched(connection)
    assert seen.types[-1] == "error"
    assert seen.only("error")["status"] == "cancelled"
    assert seen.code == 1000


def test_it_is_live_and_the_client_may_speak_first(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    with opened(url_of(server, job_id)) as connection:
        connection.send(json.dumps({"type": "execute", "jobId": job_id}))
        connection.send(json.dumps({"type": "debug:start"}))
        kinds = [json.loads(connection.recv(30)) for _ in range(3)]
        by_kind = {message["type"]: message for message in kinds}
        assert set(by_kind) == {"connected", "error", "log"}
        assert "'debug:start'" in by_kind["error"]["error"]
        assert by_kind["log"]["data"] == "waiting\n"
        engine.release(server, job_id)
        seen = Watched(connection)
    assert seen.log == b"went on\n"
    assert seen.types[-1] == "complete"


@pytest.mark.parametrize("junk", ["", "hello", "[]", '{"type":1}', '{"a":"b"}', "[" * 60_000, b"x"])
def test_junk_closes(server, noisy, junk):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    try:
        with opened(url_of(server, job_id)) as connection:
            connection.send(junk)
            assert Watched(connection).code == 1008
    finally:
        server.http.delete(f"/jobs/{job_id}")


def test_no_end_of_messages_closes(server):
    job_id = server.submit(projects.ANY, projects.ENDLESS)
    try:
        with opened(url_of(server, job_id)) as connection:
            try:
                for _ in range(1000):
                    connection.send('{"type":"execute"}')
            except ConnectionClosed:
                pass
            assert Watched(connection).code == 1008
    finally:
        server.http.delete(f"/jobs/{job_id}")


@pytest.mark.parametrize("hardened", [False, True])
def test_the_end_of_the_server_is_told_and_the_stream_goes_on_after_it(own_server, hardened):
    server = own_server(hardened=hardened).start().ready()
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    with opened(url_of(server, job_id)) as connection:
        assert json.loads(connection.recv(30))["type"] == "connected"
        message = json.loads(connection.recv(30))
        server.terminate(seconds=10)
        assert Watched(connection).code == 1012
    server.start()
    engine.release(server, job_id)
    seen = watch(server, job_id, offset=message["offset"])
    assert (seen.log, seen.types[-1]) == (b"went on\n", "complete")
    assert " ERROR " not in server.log_path.read_text()


def test_a_stream_that_is_cut_is_resumed_without_a_gap(server):
    """By a client that is cut off again and again."""
    script = "import time\nfor n in range(300):\n print('line', n, flush=True)\n time.sleep(0.005)"
    job_id = server.submit(projects.ANY, projects.python(script))
    offset, got = 0, b""
    while True:
        with opened(url_of(server, job_id, offset=offset)) as connection:
            for _ in range(5):
                message = json.loads(connection.recv(30))
                if message["type"] == "log":
                    got += message["data"].encode()
                    offset = message["offset"]
                if message["type"] == "complete":
                    assert got == server.log(job_id)
                    return
            connection.socket.close()


def test_an_offset_behind_the_log_is_refused(server, noisy):
    job, log = noisy
    for offset in (len(log) + 1, -1, "x", "1" * 30):
        url = url_of(server, job["job_id"], offset=offset).replace("ws:", "http:")
        assert (
            httpx.get(url, headers=UPGRADE, timeout=60).json()["error"]["code"] == "invalid_offset"
        )


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
