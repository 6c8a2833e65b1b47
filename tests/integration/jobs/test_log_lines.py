"""Lines, times and search in logs, on a real server: of a job that runs, of one that has ended, and
of one whose log is compressed.
"""

import json
import re
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from ci_client import Client
from ci_client.library.job_request import JobRequest
from ci_client.library.secret_options import given_secrets
from ci_client.packing.project_zip import create_project_zip
from support import events, projects
from support.command_line import CommandLine
from support.live_server import LiveServer

SECRET = "hunter2-is-a-secret"
FIRST_END = b"line 2999\x1b[0m of the f\x1b[1mirst\x1b[0m part\n"
SCRIPT = r"""
import os, sys, time
out = sys.stdout.buffer
for number in range(3000):
    out.write(b"\x1b[32mline %d\x1b[0m of the f\x1b[1mirst\x1b[0m part\n" % number)
out.flush()
while not os.path.exists(GO):
    time.sleep(0.05)
time.sleep(1.1)
out.write("Größe: ÄRGER\n".encode() + b"secret: " + os.environ["TOKEN"].encode() + b"\n")
out.write(b"10% busy\r20% busy\r100% done\n" + b"\xff\xfe needle\n" + b"the end")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, python_for_jobs):
    with LiveServer(
        tmp_path_factory.mktemp("lines"),
        python=python_for_jobs,
        executor="process",
        log_compress_seconds=0,
    ) as server:
        yield server.start().ready()


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    """A finished job whose log is compressed: id, log, and when it ran. Its second part was written
    more than a second after its first one was received.
    """
    begin = datetime.now(UTC)
    project = projects.write(tmp_path_factory.mktemp("project"), {"a.txt": "a"})
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        go = Path(directory, "go")
        request = JobRequest(
            command=projects.python(SCRIPT.replace("GO", repr(str(go)))),
            secrets=given_secrets({"TOKEN": SECRET}),
            install=False,
        )
        with Client(server.url) as client, create_project_zip(project) as packed:
            job_id = client.submit(packed, request=request)
        server.log_has(job_id, FIRST_END)
        go.touch()
        job = server.finished(job_id)
    assert job["success"], server.log(job_id)
    server.until(
        lambda: list(server.data.glob(f"logs/*/{job_id}.*")),
        lambda found: sorted(path.suffix for path in found) == [".marks", ".zst"],
        "its compressed log, and the marks beside it",
    )
    return job_id, server.log(job_id), (begin, datetime.now(UTC))


def get(server, job_id, what, **params):
    return server.http.get(f"/jobs/{job_id}/logs/{what}", params=params)


def search(server, job_id, q, **params):
    """The hits, and the last event."""
    told = events.read(server.http, "GET", f"/jobs/{job_id}/logs/search", params={"q": q, **params})
    assert told[-1].type == "end"
    hits = [event.data for event in told if event.type == "hit"]
    assert told[-1].data["hits"] == len(hits)
    return hits, told[-1]


def test_marks_tell_lines_and_times(server, finished):
    job_id, log, (begin, end) = finished
    page = get(server, job_id, "marks").json()
    facts = {name: page[name] for name in ("size", "lines", "final", "timed", "next")}
    lines = log.count(b"\n") + 1
    assert facts == {"size": len(log), "lines": lines, "final": True, "timed": True, "next": None}
    marks = page["marks"]
    assert marks[0]["offset"] == 0
    for mark in marks:
        assert mark["line"] == log[: mark["offset"]].count(b"\n") + 1
    times = [datetime.fromisoformat(mark["time"]) for mark in marks]
    assert begin - timedelta(seconds=1) < times[0]
    assert times == sorted(times)
    assert times[-1] < end
    later = log.index(b"Gr\xc3\xb6")
    assert times[-1] - times[0] >= timedelta(seconds=1.1)
    since = get(server, job_id, "marks", since=times[-1].isoformat(), limit=1).json()
    assert [mark["offset"] for mark in since["marks"]] == [later]
    assert get(server, job_id, "marks", since="2999-01-01").json()["marks"] == []
    first = get(server, job_id, "marks", limit=1).json()
    assert (len(first["marks"]), first["next"]) == (1, marks[1]["offset"])
    spread = get(server, job_id, "marks", every=100_000, end=later).json()["marks"]
    assert all(b["offset"] - a["offset"] >= 100_000 for a, b in pairwise(spread))


def test_a_line_and_its_bytes(server, finished):
    job_id, log, _ = finished
    for offset in (0, 1, 70_000, log.index(b"needle"), len(log) - 1, len(log)):
        place = get(server, job_id, "position", offset=offset).json()
        assert place["line"] == log[:offset].count(b"\n") + 1
        assert place["line_offset"] == log.rfind(b"\n", 0, offset) + 1
        by_line = get(server, job_id, "position", line=place["line"]).json()
        assert by_line["offset"] == by_line["line_offset"] == place["line_offset"]
    for params in ({"offset": len(log) + 1}, {"line": log.count(b"\n") + 2}):
        answer = get(server, job_id, "position", **params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_offset")
    answer = get(server, job_id, "position", offset=1, line=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_hits_have_the_bytes_lines_and_times(server, finished):
    job_id, log, _ = finished
    hits, end = search(server, job_id, "LINE 2999 OF THE FIRST")
    (hit,) = hits
    shown = log[hit["offset"] : hit["offset"] + hit["length"]]
    assert shown == b"line 2999\x1b[0m of the f\x1b[1mirst"
    assert (hit["line"], hit["match"], hit["after"]) == (3000, "line 2999 of the first", " part")
    place = get(server, job_id, "position", offset=hit["offset"]).json()
    assert {name: place[name] for name in ("line", "line_offset", "time")} == {
        name: hit[name] for name in ("line", "line_offset", "time")
    }
    assert (end.data["offset"], end.data["truncated"], end.data["final"]) == (len(log), False, True)
    assert end.id == f"{len(log)}:complete"
    again = server.http.get(
        f"/jobs/{job_id}/logs/search", params={"q": "line"}, headers={"Last-Event-ID": end.id}
    )
    assert again.status_code == 204


def test_what_is_found_and_what_is_not(server, finished):
    job_id, log, _ = finished
    assert [hit["match"] for hit in search(server, job_id, "ärger")[0]] == ["ÄRGER"]
    assert search(server, job_id, "ärger", exact_case=True)[0] == []
    assert search(server, job_id, SECRET)[0] == []
    (masked,) = search(server, job_id, "secret: ")[0]
    assert SECRET not in masked["after"]
    (busy,) = search(server, job_id, "busy")[0]
    assert busy["offset"] == log.rindex(b"busy")
    (needle,) = search(server, job_id, "needle")[0]
    assert needle["before"] == "\ufffd\ufffd "
    assert [hit["after"] for hit in search(server, job_id, "END")[0]] == [""]


def test_more_hits_than_are_wanted_are_got_in_turn(server, finished):
    job_id, _, _ = finished
    found, offset = [], 0
    while True:
        hits, end = search(server, job_id, "part", offset=offset)
        found += [hit["line"] for hit in hits]
        if not end.data["truncated"]:
            break
        assert len(hits) == 1000
        offset = end.data["offset"]
    assert found == list(range(1, 3001))
    hits, _ = search(server, job_id, "part", limit=2)
    path = f"/jobs/{job_id}/logs/search"
    resumed = {"Last-Event-ID": str(hits[1]["offset"] + hits[1]["length"])}
    told = events.read(server.http, "GET", path, params={"q": "part", "limit": 1}, headers=resumed)
    assert told[0].data["line"] == 3


@pytest.mark.parametrize("q", ["", "x" * 257, "a\nb", "\x1b[31m"])
def test_what_cannot_be_searched_for(server, finished, q):
    answer = get(server, finished[0], "search", q=q)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_search")


def test_a_stream_with_times(server, finished):
    job_id, log, _ = finished
    told = events.stream(server.http, job_id, params={"offset": 0, "timestamps": True})
    assert events.logged(told) == log
    marks = get(server, job_id, "marks").json()["marks"]
    times = [event for event in told if event.type == "time"]
    assert [{**event.data, "type": None} for event in times] == [
        {"type": None, **mark} for mark in marks
    ]
    reached = 0
    for event in told:
        if event.type == "log":
            reached = int(event.id)
        elif event.type == "time":
            assert event.data["offset"] >= reached


def test_a_log_that_grows(server):
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        go = Path(directory, "go")
        script = f"echo one; while [ ! -e {go} ]; do sleep 0.05; done; sleep 1.1; printf two"
        job_id = server.submit(projects.ANY, projects.shell(script))
        server.under_way(job_id, b"one\n")
        (hit,), end = search(server, job_id, "o")
        assert (hit["line"], end.data["final"], end.data["size"]) == (1, False, 4)
        assert get(server, job_id, "position", offset=4).json()["line"] == 2
        options = {"params": {"offset": 0, "timestamps": True}}
        path = f"/jobs/{job_id}/stream"
        with events.streaming(server.http, "GET", path, **options) as told:
            first = next(event for event in told if event.type == "time")
            go.touch()
            second = next(event for event in told if event.type == "time")
    assert (first.data["offset"], second.data["offset"], second.data["line"]) == (0, 4, 2)
    passed = [datetime.fromisoformat(event.data["time"]) for event in (first, second)]
    assert passed[1] - passed[0] > timedelta(seconds=1)


# ------------------------------------------------------------------- the command line

STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


@pytest.fixture
def cli(server, tmp_path):
    cli = CommandLine(server.url, tmp_path)
    yield cli
    cli.close()


def test_each_line_begins_with_its_time(cli, finished):
    job_id, log, (begin, end) = finished
    done = cli.run("logs", job_id, "--timestamps")
    assert done.code == 0
    versions = re.split(rb"(?<=\n)|(?<=\r)(?=[^\n])", log)
    shown = [
        re.fullmatch(rb"(%b)(.*)" % STAMP, one, re.DOTALL)
        for one in re.split(rb"(?<=\n)|(?<=\r)(?=[^\n])", done.out)
    ]
    assert [one[2] for one in shown if one] == versions
    times = [datetime.fromisoformat(one[1].decode().strip()) for one in shown if one]
    assert times == sorted(times)
    assert begin - timedelta(seconds=2) < times[0] < times[-1] <= end
    followed = cli.run("logs", job_id, "-f", "-t")
    assert (followed.code, followed.out) == (0, done.out)
    several = cli.run("logs", "-f", "-t", job_id, job_id[:8])
    assert several.out.count(b"\n") == done.out.count(b"\n") + 1  # the last line gets an end
    assert len(re.findall(rb"^\S+ \S+ \| %b" % STAMP, several.out, re.MULTILINE)) == 3005
    terminal = cli.on_terminal("logs", job_id, "-t", TZ="UTC-3")
    local = times[-1].astimezone(timezone(timedelta(hours=3))).strftime("%Y-%m-%d %H:%M:%S ")
    terminal.until_shown(f"{local}the end".encode())


def test_only_what_is_new(cli, server, finished):
    job_id, log, _ = finished
    last = get(server, job_id, "marks").json()["marks"][-1]
    done = cli.run("logs", job_id, "--since", last["time"])
    assert (done.code, done.out) == (0, log[last["offset"] :])
    none = cli.run("logs", job_id, "--since", "2999-01-01")
    assert (none.code, none.out) == (0, b"")
    assert none.err == "No output has been received since 2999-01-01.\n"


def test_lines_that_have_a_text(cli, finished):
    job_id, _, _ = finished
    done = cli.run("logs", job_id, "--search", "line 29 of")
    assert (done.code, done.text, done.err) == (0, "30: line 29 of the first part\n", "")
    done = cli.run("logs", job_id, "--search", "Line 29 of", "--exact-case")
    assert (done.code, done.out) == (1, b"")
    done = cli.run("logs", job_id, "--search", "part", "--timestamps")
    assert re.fullmatch(rb"(%b\d+: line \d+ of the first part\n){3000}" % STAMP, done.out)
    told = [
        json.loads(line)
        for line in cli.run("logs", job_id, "--search", "part", "--json").text.splitlines()
    ]
    assert [event["type"] for event in told] == ["hit"] * 3000 + ["end"]
    assert told[-1]["hits"] == 3000
    code, text = cli.on_terminal("logs", job_id, "--search", "needle").end()
    assert (code, text) == (0, "3004: \ufffd\ufffd \x1b[31mneedle\x1b[0m\r\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--search", ""], "needs a text"),
        (["--search", "a\nb"], "line breaks"),
        (["--search", "a", "-f"], "--search and --follow cannot be combined"),
        (["--search", "a", "--tail", "3"], "--search and --tail cannot be combined"),
        (["--json"], "need --search"),
        (["--since", "yesterday"], "is not a valid time"),
        (["--since", "1m", "--tail", "3"], "--since and --tail cannot be combined"),
    ],
)
def test_options_that_make_no_sense_are_told(cli, finished, options, told):
    done = cli.run("logs", finished[0], *options)
    assert (done.code, done.out) == (2, b"")
    assert told in done.err
    assert len(done.err.splitlines()) == 1
