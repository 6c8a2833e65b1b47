"""Logs and events by the Durable Streams Protocol: its rules, and its published clients."""

import json
import random
import shutil
import subprocess

import durable_streams
import httpx
import pytest

from ci_server.apis.durable.log import MOST_BYTES
from support.archives import zip_bytes
from support.cutting_proxy import CuttingProxy
from support.live_server import LiveServer

pytestmark = pytest.mark.docker

NPM = shutil.which("npm")
CLIENT = "@durable-streams/client@0.2.7"
SECONDS = 120
CONTENT = random.Random(7).randbytes(700_000) + b"\xff no text\n\x00\r\n" + "ä☃😀\n".encode() * 99
LAST = b"the end"
WAITING = "cat content; while [ ! -e go ]; do sleep 0.02; done; printf 'the end'"
READER = """
const { stream } = require("@durable-streams/client");
const [url, live] = process.argv.slice(2);
(async () => {
  const answer = await stream({ url, offset: "-1", live, json: false });
  const reader = answer.bodyStream().getReader();
  for (let piece; !(piece = await reader.read()).done; ) process.stdout.write(piece.value);
  if (!answer.streamClosed) throw new Error("it ended, and is not closed");
})();
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(tmp_path_factory.mktemp("durable")) as server:
        yield server.start().ready()


@pytest.fixture(scope="module")
def waiting(server):
    """A job that has written the content, and waits."""
    files = {"content": CONTENT}
    job_id = server.submit(zip_bytes(files), ["sh", "-c", WAITING])
    server.under_way(job_id, CONTENT[-20:])
    yield job_id
    server.http.delete(f"/jobs/{job_id}")


@pytest.fixture(scope="module")
def ended(server):
    """A job that has ended; its log is the content."""
    job, _ = server.run(zip_bytes({"content": CONTENT}), ["cat", "content"])
    return job["job_id"]


@pytest.fixture(scope="module")
def node_client(tmp_path_factory):
    """The client from npm; a function that runs it."""
    if NPM is None:
        pytest.skip("needs npm")
    place = tmp_path_factory.mktemp("npm")
    install = [NPM, "install", "--no-audit", "--no-fund", "--prefix", place, CLIENT]
    subprocess.run(install, check=True, capture_output=True, timeout=SECONDS)
    (place / "read.cjs").write_text(READER)

    def start(url, live):
        return subprocess.Popen(
            ["node", place / "read.cjs", url, live],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def log_url(job_id):
    return f"/streams/jobs/{job_id}/log"


def read_all(ask, job_id, offset="-1"):
    """The log piece by piece, as a client without waiting reads it, and the last answer."""
    content = b""
    while True:
        answer = ask(log_url(job_id), params={"offset": offset})
        assert answer.status_code == 200, answer.text
        content += answer.content
        offset = answer.headers["stream-next-offset"]
        if "stream-up-to-date" in answer.headers:
            return content, answer


# ------------------------------------------------------------------ the log


def test_what_is_there_of_a_live_log(server, waiting):
    content, last = read_all(server.http.get, waiting)
    assert content == CONTENT
    assert "stream-closed" not in last.headers
    assert last.headers["stream-next-offset"] == f"{len(CONTENT):020d}"
    assert last.headers["cache-control"] == "private, no-store"
    head = server.http.head(log_url(waiting)).headers
    assert head["stream-next-offset"] == f"{len(CONTENT):020d}"
    assert head["content-type"] == "application/octet-stream"
    assert "stream-closed" not in head
    now = server.http.get(log_url(waiting), params={"offset": "now"})
    assert (now.content, now.headers["stream-up-to-date"]) == (b"", "true")
    assert now.headers["stream-next-offset"] == f"{len(CONTENT):020d}"


def test_an_ended_log_is_closed_at_its_end_only(server, ended):
    content, last = read_all(server.http.get, ended)
    assert content == CONTENT
    assert last.headers["stream-closed"] == "true"
    assert server.http.head(log_url(ended)).headers["stream-closed"] == "true"
    middle = server.http.get(log_url(ended), params={"offset": f"{len(CONTENT) - 5:020d}"})
    assert middle.content == CONTENT[-5:]
    end = {"offset": last.headers["stream-next-offset"]}
    for live in ({}, {"live": "long-poll"}):
        answer = server.http.get(log_url(ended), params={**end, **live})
        assert answer.status_code == (204 if live else 200)
        assert answer.content == b""
        assert answer.headers["stream-closed"] == "true"
    stream = server.http.get(log_url(ended), params={**end, "live": "sse"})
    told = json.loads(stream.text.split("data: ")[1])
    assert told == {
        "streamNextOffset": end["offset"],
        "streamClosed": True,
        "upToDate": True,
    }


def test_a_piece_that_is_known_is_not_sent_again(server, ended):
    answer = server.http.get(log_url(ended))
    known = {"If-None-Match": answer.headers["etag"]}
    again = server.http.get(log_url(ended), headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["stream-next-offset"] == answer.headers["stream-next-offset"]
    assert server.http.get(log_url(ended), params={"offset": "now"}).status_code == 200


@pytest.mark.parametrize(
    ("offset", "live", "status"),
    [
        ("12", None, 400),
        ("-2", None, 400),
        ("9" * 20, None, 400),
        (f"{len(CONTENT) + 1:020d}", None, 400),
        ("\u0660" * 20, None, 400),
        ("", None, 400),
        (None, "sse", 400),
        (None, "long-poll", 400),
        ("-1", "websocket", 400),
    ],
)
def test_offsets_that_are_none(server, ended, offset, live, status):
    given = {"offset": offset, "live": live}
    parameters = {name: value for name, value in given.items() if value is not None}
    assert server.http.get(log_url(ended), params=parameters).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nobody_writes(server, ended, method):
    for path in (log_url(ended), "/streams/events"):
        assert server.http.request(method, path, content=b"x").status_code == 405


def test_the_published_clients_follow_a_log_to_its_end(server, node_client):
    command = ["sh", "-c", "cat content; sleep 3; printf 'the end'"]
    job_id = server.submit(zip_bytes({"content": CONTENT}), command)
    url = server.url + log_url(job_id)
    readers = [node_client(url, live) for live in ("long-poll", "sse")]
    for reader in readers:
        out, err = reader.communicate(timeout=SECONDS)
        assert (reader.returncode, err) == (0, b"")
        assert out == CONTENT + LAST
    with durable_streams.stream(url, offset="-1", live=False) as answer:
        assert b"".join(answer) == CONTENT + LAST  # its read_bytes() reads one response


def test_a_reader_behind_a_link_that_breaks_gets_every_byte(server, ended):
    """The published clients do not resume an answer that was cut: one asks for it again."""
    content, offset, failures = b"", "-1", 0
    with CuttingProxy(server.port, MOST_BYTES * 3 // 2) as proxy, httpx.Client(timeout=60) as http:
        while len(content) < len(CONTENT):
            try:
                answer = http.get(proxy.url + log_url(ended), params={"offset": offset})
            except httpx.TransportError:
                failures += 1
            else:
                content += answer.content
                offset = answer.headers["stream-next-offset"]
    assert failures >= 1
    assert content == CONTENT


# ------------------------------------------------------------------ events


def test_events_of_all_jobs(server, ended):
    first = server.http.get("/streams/events", params={"offset": "-1"})
    assert first.headers["content-type"] == "application/json"
    assert first.headers["stream-up-to-date"] == "true"
    kinds = [event["kind"] for event in first.json() if event["job_id"] == ended]
    assert kinds == ["submitted", "claimed", "started", "finished"]
    after = {"offset": first.headers["stream-next-offset"]}
    rest = server.http.get("/streams/events", params=after)
    now = server.http.get("/streams/events", params={"offset": "now"})
    assert now.json() == []
    assert now.headers["stream-next-offset"] >= rest.headers["stream-next-offset"]
    assert "stream-closed" not in server.http.head("/streams/events").headers


def test_events_come_as_they_happen(server):
    tail = server.http.head("/streams/events").headers["stream-next-offset"]
    with server.http.stream(
        "GET", "/streams/events", params={"offset": tail, "live": "sse"}
    ) as answer:
        lines = answer.iter_lines()
        assert "streamNextOffset" in next(line for line in lines if line.startswith("data:"))
        job_id = server.submit(zip_bytes({"a": b"a"}), ["true"])
        assert job_id in next(line for line in lines if line.startswith("data: ["))
    polled = server.http.get("/streams/events", params={"offset": tail, "live": "long-poll"})
    assert polled.json()[0]["job_id"] == job_id
    with durable_streams.stream(server.url + "/streams/events", offset=tail, live=False) as answer:
        assert answer.read_json()[0]["kind"] == "submitted"


@pytest.mark.parametrize("offset", ["1", "x" * 20, f"{1:020d}", f"{1:020d}_", "0" * 20 + "_a_b"])
def test_cursors_that_are_none(server, offset):
    answer = server.http.get("/streams/events", params={"offset": offset})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


def test_events_that_are_gone(server):
    """Of another database's stream, as after a backup was restored."""
    for live in ({}, {"live": "sse"}, {"live": "long-poll"}):
        gone = {"offset": f"{1:020d}_another", **live}
        answer = server.http.get("/streams/events", params=gone)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "events_gone")
