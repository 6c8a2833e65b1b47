"""Watching one job: waiting for it, live, replayed, and resumed anywhere."""

import random

import httpx
import httpx_sse
import pytest

from support import engine, events, projects

pytestmark = pytest.mark.docker

CHATTY = """
import sys, time
for number in range(400):
    sys.stdout.write(f"line {number} \\u2713 \\u65e5\\u672c\\u8a9e " + "x" * (number % 90) + "\\n")
    sys.stdout.flush()
    time.sleep(0.002)
"""


@pytest.fixture(scope="module")
def finished(server):
    """A finished job with a log of 400 lines, and that log."""
    job_id = server.submit(projects.ANY, projects.python(CHATTY))
    assert server.finished(job_id)["success"] is True
    return job_id, server.log(job_id)


def test_running_is_live_from_the_beginning(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    path = f"/jobs/{job_id}/stream"
    with events.streaming(server.http, "GET", path, params={"from_beginning": True}) as stream:
        status, log = next(stream), next(stream)
        assert status.data == {"type": "status", "status": "running"}
        assert log.data == {"type": "log", "data": "waiting\n"}
        engine.release(server, job_id)
        rest = list(stream)
    assert events.logged(rest) == b"went on\n"
    assert rest[-1].data["success"] is True


def test_running_without_from_beginning_is_only_what_follows(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    with events.streaming(server.http, "GET", f"/jobs/{job_id}/stream") as stream:
        assert next(stream).data == {"type": "status", "status": "running"}
        engine.release(server, job_id)
        rest = list(stream)
    assert events.types(rest) == ["log", "complete"]
    assert events.logged(rest) == b"went on\n"


def test_finished_is_only_complete(server, finished):
    job_id, _ = finished
    (only,) = events.stream(server.http, job_id)
    assert (only.type, only.data["success"]) == ("complete", True)


def test_finished_from_beginning_is_the_whole_log_then_complete(server, finished):
    job_id, log = finished
    got = events.stream(server.http, job_id, params={"from_beginning": True})
    assert set(events.types(got[:-1])) == {"log"}
    assert got[-1].type == "complete"
    assert events.logged(got) == log
    assert got[-2].id == str(len(log))
    assert got[-1].id == f"{len(log)}:complete"


def test_a_reader_that_has_the_result_is_told_to_stop(server, finished):
    """204 ends every EventSource; with the bare size the result comes again."""
    job_id, log = finished
    path = f"/jobs/{job_id}/stream"
    for last, status in ((f"{len(log)}:complete", 204), ("0:complete", 204), (str(len(log)), 200)):
        answer = server.http.get(path, headers={"Last-Event-ID": last})
        assert (answer.status_code, bool(answer.content)) == (status, status == 200)
    got = events.stream(server.http, job_id, headers={"Last-Event-ID": str(len(log))})
    assert events.types(got) == ["complete"]


def test_a_result_that_is_claimed_too_early_does_not_end_the_stream(server):
    """As after the restore of an older backup: the job runs, and so its reader goes on."""
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting")
    path, headers = f"/jobs/{job_id}/stream", {"Last-Event-ID": "8:complete"}
    with events.streaming(server.http, "GET", path, headers=headers) as stream:
        engine.release(server, job_id)
        got = list(stream)
    assert events.logged(got) == b"went on\n"
    assert got[-1].id == "16:complete"


def test_a_stream_has_no_event_without_data(server, finished):
    """The obvious loop over httpx-sse: `.json()` of every event."""
    path, params = f"/jobs/{finished[0]}/stream", {"from_beginning": True}
    with httpx_sse.connect_sse(server.http, "GET", path, params=params) as source:
        got = [(event.json()["type"], event.retry) for event in source.iter_sse()]
    assert got[0] == ("log", 1000)
    assert {retry for _, retry in got[1:]} == {None}


def test_every_id_is_the_offset_after_the_event(server, finished):
    job_id, log = finished
    offset = 0
    for event in events.stream(server.http, job_id, params={"from_beginning": True})[:-1]:
        content = events.logged([event])
        assert log[offset : offset + len(content)] == content
        offset += len(content)
        assert event.id == str(offset)


@pytest.mark.parametrize("how", ["header", "parameter"])
def test_a_finished_log_resumes_exactly_at_any_offset(server, finished, how):
    job_id, log = finished
    for offset in (0, 1, 17, len(log) // 2, len(log) - 1, len(log)):
        where = (
            {"headers": {"Last-Event-ID": str(offset)}}
            if how == "header"
            else {"params": {"offset": offset}}
        )
        got = events.stream(server.http, job_id, **where)
        assert events.logged(got) == log[offset:]
        assert got[-1].type == "complete"


def test_the_last_event_id_wins_over_the_query(server, finished):
    """A browser reconnects to the address it was given, with the header added."""
    job_id, log = finished
    query = {"offset": 3, "from_beginning": True}
    got = events.stream(server.http, job_id, params=query, headers={"Last-Event-ID": "100"})
    assert events.logged(got) == log[100:]


def drop_at_random(server, job_id, seed):
    """Watch a job over many connections, each cut after some bytes; the bytes joined."""
    chance = random.Random(seed)
    joined, last_id, drops = b"", "0", 0
    while True:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            headers = {"Last-Event-ID": last_id}
            with events.streaming(http, "GET", f"/jobs/{job_id}/stream", headers=headers) as stream:
                for _ in range(chance.randint(1, 12)):
                    event = next(stream)
                    joined += events.logged([event])
                    last_id = event.id or last_id
                    if event.type == "complete":
                        return joined, drops
        drops += 1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_live_log_over_dropped_connections_is_whole(server, seed):
    job_id = server.submit(projects.ANY, projects.python(CHATTY))
    joined, drops = drop_at_random(server, job_id, seed)
    assert drops >= 3
    assert joined == server.log(job_id)
    assert joined.count(b"\n") == 400


def test_two_watchers_of_a_live_job_get_the_same_bytes(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    path, params = f"/jobs/{job_id}/stream", {"from_beginning": True}
    with (
        events.streaming(server.http, "GET", path, params=params) as one,
        events.streaming(server.http, "GET", path, params=params) as other,
    ):
        server.under_way(job_id, b"waiting")
        engine.release(server, job_id)
        assert events.logged(list(one)) == events.logged(list(other)) == b"waiting\nwent on\n"


BAD_OFFSETS = ["garbage", "-1", "1.5", "+3", "0x10", "1e3", "9" * 30, "12 13", "1_0"]


@pytest.mark.parametrize("offset", BAD_OFFSETS)
def test_a_header_that_is_no_offset_is_refused(server, finished, offset):
    headers = {"Last-Event-ID": offset}
    answer = server.http.get(f"/jobs/{finished[0]}/stream", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_offset"
    assert offset in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "offset", ["", *BAD_OFFSETS, " ", "8:complete", "\N{ARABIC-INDIC DIGIT THREE}"]
)
def test_a_parameter_that_is_no_offset_is_refused(server, finished, offset):
    answer = server.http.get(f"/jobs/{finished[0]}/stream", params={"offset": offset})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_offset"


def test_an_offset_beyond_the_log_is_refused(server, finished):
    job_id, log = finished
    answer = server.http.get(f"/jobs/{job_id}/stream", params={"offset": len(log) + 1})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_offset"
    assert str(len(log)) in answer.json()["error"]["message"]


def test_a_reader_that_saw_more_than_the_log_has_gets_the_result(server, finished):
    job_id, log = finished
    headers = {"Last-Event-ID": str(len(log) + 1)}
    assert events.types(events.stream(server.http, job_id, headers=headers)) == ["complete"]


UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/stream"),
        ("GET", "/stream?from_beginning=true"),
        ("GET", "/stream?offset=garbage"),
        ("GET", "/logs"),
        ("GET", "/logs?follow=true"),
        ("DELETE", ""),
        ("POST", "/cancel"),
    ],
)
@pytest.mark.parametrize("job_id", [UNKNOWN, "not-an-id", "..", "%2e%2e%2fci.db"])
def test_an_unknown_job_is_404_before_any_stream(server, method, path, job_id):
    if job_id == "..":
        job_id = "%2e%2e"
    answer = server.http.request(method, f"/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message", "request_id"}
