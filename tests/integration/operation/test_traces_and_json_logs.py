"""Traces of jobs, and the log as JSON, of a server with a controller of its own."""

import json
import time
from collections import Counter

import pytest

from support import projects
from support.collector import Collector
from support.live_server import LiveServer

pytestmark = pytest.mark.docker

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FIELDS = {"time", "level", "logger", "message", "request_id", "job_id", "trace_id", "process"}
NAMES = {"submit", "job", "queue 1", "launch 1", "run 1"}


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture
def server(tmp_path, collector):
    with LiveServer(
        tmp_path,
        hardened=True,
        controller="external",
        log_format="json",
        otlp_endpoint=collector.url,
    ) as server:
        server.start("--workers", "2")
        server.controller = server.spawn_controller()
        yield server.ready()


def submitted(server, command, **headers):
    form = server.form(projects.ANY, command)
    answer = server.http.post("/submit-async", headers=headers, **form)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"]


def trace(server, collector, trace_id):
    return server.until(
        lambda: collector.of_trace(trace_id), lambda found: found.keys() >= NAMES, "the trace"
    )


def check_tree(spans):
    """One trace over both processes: each span within the one above it."""
    root = spans["job"][1]
    assert spans["submit"][0] == "server"
    assert {spans[name][0] for name in NAMES - {"submit"}} == {"controller"}
    assert root.parent_span_id == spans["submit"][1].span_id
    phases = [spans[name][1] for name in ("queue 1", "launch 1", "run 1")]
    assert {span.parent_span_id for span in phases} == {root.span_id}
    edges = [phases[0].start_time_unix_nano, *(span.end_time_unix_nano for span in phases)]
    assert edges == sorted(edges)
    assert (edges[0], edges[-1]) == (root.start_time_unix_nano, root.end_time_unix_nano)
    assert [span.start_time_unix_nano for span in phases] == edges[:-1]


def lines(server):
    """Those that are whole: the last one may just be written."""
    whole = server.log_path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def test_a_trace_over_two_processes_and_a_log_that_names_it(server, collector):
    header = f"00-{TRACE}-{CALLER}-01"
    own = submitted(server, ["true"], traceparent="00-nothing-01")
    foreign = submitted(server, ["false"], traceparent=header, **{"X-Request-ID": "mine"})
    silent = submitted(server, ["true"], traceparent=f"00-{'a' * 32}-{CALLER}-00")
    for job_id in (own, foreign, silent):
        server.finished(job_id)
    spans = trace(server, collector, own.replace("-", ""))
    check_tree(spans)
    assert not spans["submit"][1].parent_span_id
    assert not spans["job"][1].HasField("status") or spans["job"][1].status.code != 2
    spans = trace(server, collector, TRACE)
    check_tree(spans)
    assert spans["submit"][1].parent_span_id.hex() == CALLER
    assert spans["job"][1].status.code == 2
    assert not collector.of_trace("a" * 32), "its caller does not record it"

    # A traceback, of each of them.
    server.execute("ALTER TABLE jobs RENAME TO gone")
    assert server.http.get(f"/jobs/{own}", params={"token": "st1.secret"}).status_code in (401, 500)
    server.until(
        lambda: {line["logger"].partition(".")[0] for line in lines(server) if "exception" in line},
        lambda found: "ci_controller" in found,
        "a traceback of the controller",
    )
    server.execute("ALTER TABLE gone RENAME TO jobs")
    found = lines(server)
    assert set.intersection(*map(set, found)) == FIELDS
    assert Counter(line["logger"] for line in found)["uvicorn.access"] > 3
    assert any("Started server process" in line["message"] for line in found)
    assert any(line["message"].startswith("ci_server at ") for line in found)
    (accepted,) = [
        line
        for line in found
        if line["request_id"] == "mine" and line["logger"] == "uvicorn.access"
    ]
    assert (accepted["job_id"], accepted["trace_id"]) == (foreign, TRACE)
    (ended,) = [line for line in found if f"job {foreign} completed" in line["message"]]
    assert (ended["job_id"], ended["trace_id"]) == (foreign, TRACE)
    (ended,) = [line for line in found if f"job {own} completed" in line["message"]]
    assert (ended["job_id"], ended["trace_id"]) == (own, own.replace("-", ""))
    assert "st1.secret" not in server.log_path.read_text()


def test_a_collector_that_is_slow_or_away_holds_up_nobody(server, collector):
    collector.slow()
    one = submitted(server, ["true"])
    assert server.finished(one)["status"] == "completed"
    assert collector.asked.wait(60)
    another = submitted(server, ["true"])
    assert server.finished(another)["status"] == "completed"
    collector.quick()
    trace(server, collector, another.replace("-", ""))
    collector.close()
    third = submitted(server, ["true"])
    assert server.finished(third)["status"] == "completed"
    began = time.monotonic()
    server.controller.terminate()
    assert server.controller.wait(20) == 0
    server.terminate()
    assert time.monotonic() - began < 20
    told = [line for line in lines(server) if "the collector" in line["message"]]
    assert {line["level"] for line in told} <= {"WARNING", "INFO"}
