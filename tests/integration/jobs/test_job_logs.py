"""GET /jobs/{id}/logs: raw, ranges, tail, follow; and that every byte is the job's own."""

import base64
import hashlib
import json

import pytest

from support import engine, events, projects
from support.archives import zip_bytes

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def finished(server):
    """A finished job with 1000 lines and a last one without an end; its id and log."""
    script = "import sys\nfor n in range(1000): print('line', n)\nsys.stdout.write('the end')"
    job, log = server.run(projects.ANY, projects.python(script))
    assert log == b"".join(b"line %d\n" % number for number in range(1000)) + b"the end"
    return job["job_id"], log


def get(server, job_id, byte_range=None, **params):
    headers = {} if byte_range is None else {"Range": byte_range}
    return server.http.get(f"/jobs/{job_id}/logs", headers=headers, params=params)


def test_the_whole_log_as_plain_text(server, finished):
    job_id, log = finished
    answer = get(server, job_id)
    assert (answer.status_code, answer.content) == (200, log)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(log))


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=5000-", 5000, None),
        ("bytes=-100", -100, None),
        ("bytes=-9999999", 0, None),
        ("bytes=100-9999999", 100, None),
    ],
)
def test_one_range(server, finished, wanted, first, last):
    job_id, log = finished
    first = first % len(log)
    last = len(log) - 1 if last is None else last
    answer = get(server, job_id, wanted)
    assert (answer.status_code, answer.content) == (206, log[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(log)}"
    assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("wanted", ["bytes={size}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_that_is_not_there(server, finished, wanted):
    job_id, log = finished
    answer = get(server, job_id, wanted.format(size=len(log)))
    assert answer.status_code == 416
    assert "so far" not in answer.json()["error"]["message"]
    assert answer.headers["content-range"] == f"bytes */{len(log)}"
    assert answer.json()["error"].keys() == {"code", "message", "request_id"}


@pytest.mark.parametrize("wanted", ["bytes=5-1", "lines=1-2", "bytes=a-b", "bytes=0-1,5-6", "x"])
def test_what_is_no_single_range_is_ignored(server, finished, wanted):
    job_id, log = finished
    answer = get(server, job_id, wanted)
    assert (answer.status_code, answer.content) == (200, log)


@pytest.mark.parametrize("lines", [0, 1, 2, 999, 1000, 1001, 1002, 10**6])
def test_tail(server, finished, lines):
    job_id, log = finished
    last = log.splitlines(keepends=True)[-lines:] if lines else []
    assert get(server, job_id, tail=lines).content == b"".join(last)


def test_a_tail_that_is_no_number_is_refused(server, finished):
    for tail in ("-1", "many"):
        answer = get(server, finished[0], tail=tail)
        assert answer.status_code == 400
        assert answer.json()["error"].keys() == {"code", "message", "request_id"}


def test_follow_of_a_finished_job_is_its_log(server, finished):
    job_id, log = finished
    assert get(server, job_id, follow=True).content == log
    assert get(server, job_id, follow=True, tail=2).content == b"line 999\nthe end"


def test_follow_of_a_running_job_goes_on_to_its_end(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    params = {"follow": True}
    with server.http.stream("GET", f"/jobs/{job_id}/logs", params=params) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        pieces = answer.iter_raw()
        assert next(pieces) == b"waiting\n"
        engine.release(server, job_id)
        assert b"".join(pieces) == b"went on\n"


LIVE_END = 2**53 - 1
"""The last byte of a log that goes on, in a `Content-Range` (RFC 8673)."""


@pytest.mark.parametrize(
    ("params", "byte_range", "shown", "want"),
    [
        ({"offset": 3}, None, None, b"ting\nwent on\n"),
        ({"offset": 8}, None, None, b"went on\n"),
        ({"offset": 13}, None, None, b"on\n"),
        ({"offset": 1000}, None, None, b""),
        ({}, "bytes=3-", f"bytes 3-{LIVE_END}/*", b"ting\nwent on\n"),
        ({}, "bytes=8-", f"bytes 8-{LIVE_END}/*", b"went on\n"),
        ({}, "bytes=13-", f"bytes 13-{LIVE_END}/*", b"on\n"),
        ({}, "bytes=-2", f"bytes 6-{LIVE_END}/*", b"g\nwent on\n"),
        ({}, "bytes=-0", f"bytes 8-{LIVE_END}/*", b"went on\n"),
        ({}, "bytes=-99", f"bytes 0-{LIVE_END}/*", b"waiting\nwent on\n"),
        ({}, "bytes=6-9", "bytes 6-9/*", b"g\nwe"),
        ({}, "bytes=9-6", None, b"waiting\nwent on\n"),
        ({}, "bytes=0-1,3-4", None, b"waiting\nwent on\n"),
        ({"offset": 3}, "bytes=2-", f"bytes 2-{LIVE_END}/*", b"ng\nwent on\n"),
        ({"tail": 1}, "bytes=2-", f"bytes 2-{LIVE_END}/*", b"iting\nwent on\n"),
    ],
)
def test_follow_from_an_offset_or_a_range_on(server, params, byte_range, shown, want):
    """What `curl -C -` asks for; the offset may even be behind what is written."""
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting\n")
    headers = {"Range": byte_range} if byte_range else {}
    path, params = f"/jobs/{job_id}/logs", {"follow": True, **params}
    with server.http.stream("GET", path, params=params, headers=headers) as answer:
        assert answer.status_code == (206 if shown else 200)
        assert answer.headers.get("content-range") == shown
        assert answer.headers["accept-ranges"] == "bytes"
        assert "content-length" not in answer.headers
        engine.release(server, job_id)
        assert b"".join(answer.iter_raw()) == want


def test_a_range_that_ends_ends_a_follow(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting\n")
    assert get(server, job_id, "bytes=2-4", follow=True).content == b"iti"
    assert server.job(job_id)["status"] == "running"
    engine.release(server, job_id)


@pytest.mark.parametrize("follow", [True, False])
def test_offsets_and_ranges_of_a_finished_log_with_and_without_follow(server, finished, follow):
    job_id, log = finished
    size = len(log)
    for offset in (0, 1, 100, size - 1, size):
        answer = get(server, job_id, offset=offset, follow=follow)
        assert (answer.status_code, answer.content) == (200, log[offset:])
        assert answer.headers["content-length"] == str(size - offset)
    answer = get(server, job_id, "bytes=100-", follow=follow)
    assert (answer.status_code, answer.content) == (206, log[100:])
    assert answer.headers["content-range"] == f"bytes 100-{size - 1}/{size}"
    answer = get(server, job_id, "bytes=5-9", follow=follow, offset=100)
    assert (answer.status_code, answer.content) == (206, log[105:110])
    answer = get(server, job_id, f"bytes={size}-", follow=follow)
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("offset", ["", "-1", "1.5", "x", "0x1", "9" * 30, "99999999"])
def test_an_offset_that_is_not_in_the_log_is_refused(server, finished, offset, follow):
    answer = get(server, finished[0], offset=offset, follow=follow)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_offset")


def test_an_offset_and_a_tail_at_once_are_refused(server, finished):
    answer = get(server, finished[0], offset=1, tail=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert answer.json()["error"]["message"] == "tail: cannot be combined with offset"


def test_a_running_jobs_log_is_what_there_is(server):
    job_id = server.submit(projects.ANY, projects.WAITING)
    server.under_way(job_id, b"waiting\n")
    assert get(server, job_id, "bytes=3-").content == b"ting\n"
    assert get(server, job_id, "bytes=8-").status_code == 416
    assert get(server, job_id, tail=1).content == b"waiting\n"
    engine.release(server, job_id)
    server.finished(job_id)
    assert get(server, job_id, "bytes=8-").content == b"went on\n"


# What no encoding and no terminal would let through unharmed.
HARD_BYTES = (
    b"plain\n\r\nprogress 10%\rprogress 100%\r\n\x1b[31mred\x1b[0m\x00NUL\x00\n"
    + "\u2713 \u65e5\u672c\u8a9e \U0001f600\u2028\u2029\x85\n".encode()
    + b"\xff\xfe invalid \xc3( \xe2\x82 \xf0\x9f\x98\n"
    + bytes(range(256))
    + b"\ndata: not an event\n\nid: 7\n\n: nor a comment\n"
)


def hard_log(size=3_000_000):
    """Bytes that never repeat in the same place of a block, without a newline at the end."""
    block = hashlib.sha512(b"seed").digest()
    pieces, total = [HARD_BYTES], len(HARD_BYTES)
    while total < size:
        block = hashlib.sha512(block).digest()
        pieces.append(block)
        total += len(block)
    return b"".join(pieces)[:size] + b"no newline at the end \xe2\x82"


@pytest.fixture(scope="module")
def hard_project():
    """A project that holds the hard bytes, and writes them out in pieces of odd sizes."""
    script = (
        "import os, time\n"
        "content = open('content', 'rb').read()\n"
        "at, step = 0, 1\n"
        "while at < len(content):\n"
        "    at += os.write(1, content[at : at + step])\n"
        "    step = min(step * 3 % 40009 + 1, 40009)\n"
    )
    return zip_bytes({"content": hard_log(), "write.py": script})


def test_every_byte_of_a_log_arrives_live_replayed_and_raw(server, hard_project):
    want = hard_log()
    form = server.form(hard_project, ["python", "write.py"])
    live = events.read(server.http, "POST", "/submit-stream", **form)
    job_id = live[0].data["job_id"]
    replayed = events.stream(server.http, job_id, params={"from_beginning": True})
    assert_same(events.logged(live), want)
    assert_same(events.logged(replayed), want)
    assert_same(server.log(job_id), want)
    assert server.job(job_id)["log_size"] == len(want)


def test_bytes_that_are_no_text_come_as_raw_beside_the_text(server):
    project = zip_bytes({"content": b"caf\xc3\xa9 \xff\n"})
    got = events.read(server.http, "POST", "/submit", **server.form(project, ["cat", "content"]))
    data = got[0].data
    assert data["data"] == "caf\u00e9 \ufffd\n"
    assert base64.b64decode(data["raw"]) == b"caf\xc3\xa9 \xff\n"
    assert json.dumps(data, ensure_ascii=True)


def assert_same(got, want):
    assert len(got) == len(want)
    assert hashlib.sha256(got).digest() == hashlib.sha256(want).digest()


def test_a_character_is_never_cut_between_events(server):
    """The job writes its text a byte at a time; every event is whole characters."""
    text = "\u2713\u65e5\u672c\U0001f600" * 20
    script = (
        "import os, time\n"
        f"for byte in {text.encode()!r}:\n"
        "    os.write(1, bytes([byte])); time.sleep(0.002)\n"
    )
    got = events.read(
        server.http, "POST", "/submit", **server.form(projects.ANY, projects.python(script))
    )
    assert all("raw" not in event.data for event in got)
    assert "".join(event.data.get("data", "") for event in got) == text


def test_stdout_and_stderr_in_the_order_they_were_written(server):
    script = "for i in $(seq 200); do echo out $i; echo err $i >&2; done"
    _, log = server.run(projects.ANY, projects.shell(script))
    assert log == b"".join(b"out %d\nerr %d\n" % (n, n) for n in range(1, 201))
