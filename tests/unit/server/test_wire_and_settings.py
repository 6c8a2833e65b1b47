"""Small tables: statuses of errors, ranges and their documentation, the job model."""

import asyncio
import inspect
import json
import logging
import os
import re
import threading

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from ci_client.library.sse_reader import log_bytes
from ci_common import errors
from ci_common.errors import JobError, JobNotFoundError, RunnerError
from ci_common.events import CompleteEvent, JobIdEvent, LogEvent, StatusEvent
from ci_common.job import (
    TRANSITIONS,
    JobStatus,
    Outcome,
    Package,
    Reason,
    format_time,
    parse_time,
    sources_of,
)
from ci_server.apis.native.present import event_json, job_json
from ci_server.http.byte_range import _parse
from ci_server.http.errors import STATUS_OF_CODE, install_error_handlers
from ci_server.telemetry.log_output import PatientHandler
from support.jobs import NOON, a_job
from support.waiting import until_sync

ERRORS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RunnerError)
]

NEVER_REACH_A_CLIENT = {
    "error",
    "job_error",
    "database_error",
    "settings_error",
    "unknown_library",
    "engine_unavailable",
    "engine_failing",
    "engine_disturbed",
    "registry_unavailable",
    "backup_error",
    "lease_lost",
    "files_unreadable",
    "identity_error",
    "invalid_identity",
    "user_exists",
    "user_not_found",
    "key_not_found",
    "last_user",
    "subscription_error",
    "invalid_subscription",
}
"""A job's own errors end in its row; the others are the server's trouble, and answered with 500."""


# ------------------------------------------------------------------ errors


def test_every_code_that_can_reach_a_client_has_a_status():
    inner = {kind.code for kind in ERRORS if issubclass(kind, JobError)} | NEVER_REACH_A_CLIENT
    assert {kind.code for kind in ERRORS} - inner == set(STATUS_OF_CODE)


def test_codes_are_unique_and_stable():
    codes = [kind.code for kind in ERRORS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_every_job_error_has_a_reason_of_its_own():
    reasons = [kind.reason for kind in ERRORS if issubclass(kind, JobError)]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", ERRORS)
def test_the_docstring_is_the_default_message(kind):
    assert kind().message == kind.__doc__.splitlines()[0]
    assert kind("other").message == "other"


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"[└├]── (\w+)", errors.__doc__)
    assert set(drawn) == {kind.__name__ for kind in ERRORS} - {"RunnerError"}


@pytest.fixture
def client():
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/{what}")
    async def fail(what: str, number: int = 0):
        if what == "defect":
            raise ZeroDivisionError("a secret")
        raise {kind.code: kind for kind in ERRORS}[what]

    return AnsweringClient(app)


class AnsweringClient:
    """Asks the application without a server; only for answers that are not streams."""

    def __init__(self, app):
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def get(self, path):
        return asyncio.run(self._request("GET", path))

    def post(self, path):
        return asyncio.run(self._request("POST", path))

    async def _request(self, method, path):
        async with httpx.AsyncClient(transport=self._transport, base_url="http://x") as client:
            return await client.request(method, path)


@pytest.mark.parametrize("code", sorted(STATUS_OF_CODE))
def test_errors_on_the_wire(client, code):
    response = client.get(f"/{code}")
    assert response.status_code == STATUS_OF_CODE[code]
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("seconds", "header"), [(None, None), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2")]
)
def test_retry_after_is_in_whole_seconds(seconds, header):
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail():
        raise errors.RateLimitedError("slower", seconds)

    assert AnsweringClient(app).get("/").headers.get("Retry-After") == header


@pytest.mark.parametrize("what", ["defect", *sorted(NEVER_REACH_A_CLIENT)])
def test_defects_are_told_to_the_log_only(client, what, caplog):
    response = client.get(f"/{what}")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert caplog.records
    assert caplog.records[0].exc_info


def test_the_frameworks_own_errors_have_our_body(client):
    response = client.post("/defect")
    assert response.status_code == 405
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert client.get("/").json()["error"]["code"] == "not_found"
    response = client.get("/job_not_found?number=x")
    assert response.status_code == 400
    assert "number" in response.json()["error"]["message"]


# ------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("header", "size", "range_"),
    [
        (None, 10, None),
        ("", 10, None),
        ("bytes=0-", 10, (0, 9)),
        ("bytes=3-5", 10, (3, 5)),
        (" bytes=3-5 ", 10, (3, 5)),
        ("bytes=3-99", 10, (3, 9)),
        ("bytes=9-", 10, (9, 9)),
        ("bytes=-4", 10, (6, 9)),
        ("bytes=-99", 10, (0, 9)),
        ("bytes=-", 10, None),
        ("bytes=5-3", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-1", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1-" + "9" * 40, 10, None),
        ("bytes=-5", 0, None),  # all of it, which is nothing
    ],
)
def test_ranges(header, size, range_):
    assert _parse(header, size) == range_


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10), ("bytes=-0", 0)]
)
def test_unsatisfiable_ranges(header, size):
    first, last = _parse(header, size)
    assert first > last or first >= size


@given(st.text(), st.integers(0, 100))
def test_any_range_header(text, size):
    found = _parse(text, size)
    assert found is None or found[1] <= size


# ------------------------------------------------------------------ the job and its events


def test_the_transitions_lead_from_queued_to_an_end():
    assert set(TRANSITIONS) == set(JobStatus)
    ends = {status for status in JobStatus if status.is_terminal}
    assert ends == {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    order = list(JobStatus)
    for source, targets in TRANSITIONS.items():
        assert all(order.index(target) > order.index(source) for target in targets)
        if not source.is_terminal:
            assert {JobStatus.FAILED, JobStatus.CANCELLED} <= targets, "every job can be ended"
    assert sources_of(JobStatus.QUEUED) == ()
    assert sources_of(JobStatus.RUNNING) == (JobStatus.INITIALIZING,)


@pytest.mark.parametrize(
    ("status", "code", "success"),
    [
        (JobStatus.COMPLETED, 0, True),
        (JobStatus.COMPLETED, 1, False),
        (JobStatus.COMPLETED, None, False),
        (JobStatus.FAILED, 0, False),
        (JobStatus.CANCELLED, 0, False),
    ],
)
def test_success(status, code, success):
    assert Outcome(status, Reason.EXIT, "", code).success is success


def test_times_on_the_wire():
    assert format_time(NOON) == "2030-01-01T12:00:00.000Z"
    assert parse_time("2030-01-01T12:00:00.000Z") == NOON
    assert format_time(None) is None
    assert parse_time(None) is None


def test_events_on_the_wire():
    job = a_job(
        JobStatus.COMPLETED, job_id="id", outcome=Outcome(JobStatus.COMPLETED, Reason.OOM, "m", 137)
    )
    assert event_json(JobIdEvent("id")) == {"type": "job_id", "job_id": "id"}
    assert event_json(StatusEvent(JobStatus.RUNNING)) == {"type": "status", "status": "running"}
    assert event_json(StatusEvent(JobStatus.QUEUED, 3)) == {
        "type": "status",
        "status": "queued",
        "position": 3,
    }
    assert event_json(LogEvent(b"x", 1)) == {"type": "log", "data": "x"}
    assert event_json(CompleteEvent(job)) == {
        "type": "complete",
        "job_id": "id",
        "success": False,
        "status": "completed",
        "exit_code": 137,
        "reason": "oom",
        "message": "m",
        "log_dropped": 0,
        "tests": None,
        "coverage": None,
    }
    with pytest.raises(ValueError, match="not finished"):
        event_json(CompleteEvent(a_job()))


@given(st.binary())
def test_log_events_keep_every_byte(content):
    wire = json.loads(json.dumps(event_json(LogEvent(content, len(content)))))
    assert log_bytes(wire) == content
    assert wire["data"] == content.decode(errors="replace")


def test_what_is_not_there_is_null_on_the_wire():
    wire = job_json(a_job(package=None))
    assert (wire["package_size"], wire["package_sha256"]) == (None, None)
    wire = job_json(a_job(package=Package("aa", 0)))
    assert (wire["package_size"], wire["package_sha256"]) == (0, "aa")


def test_a_job_on_the_wire():
    wire = job_json(a_job(JobStatus.RUNNING, started_at=NOON))
    assert {"job_id", "status", "success", "start_time", "end_time"} <= set(wire)
    assert (wire["success"], wire["start_time"], wire["end_time"]) == (
        None,
        "2030-01-01T12:00:00.000Z",
        None,
    )
    assert job_json(a_job(JobStatus.COMPLETED))["success"] is True
    with pytest.raises(RunnerError):
        raise JobNotFoundError


# ------------------------------------------------------------------ the server's log lines


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def record(text):
    return logging.LogRecord("name", logging.INFO, "file", 1, text, None, None)


def test_lines_are_written_in_order(pipe):
    handler = PatientHandler(pipe[1])
    for number in range(100):
        handler.emit(record(f"line {number}"))
    handler.flush()
    assert os.read(pipe[0], 65536).decode() == "".join(f"line {n}\n" for n in range(100))


def test_a_pipe_that_nobody_reads_stops_nobody(pipe, monkeypatch):
    monkeypatch.setattr("ci_server.telemetry.log_output._MOST_LINES", 500)
    monkeypatch.setattr("ci_server.telemetry.log_output._FLUSH_SECONDS", 0.05)
    handler = PatientHandler(pipe[1])
    done = threading.Event()

    def write():
        for _ in range(2000):
            handler.emit(record("x" * 1000))
        handler.flush()
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(10)
    handler.emit(record("the last line, which was dropped"))
    os.set_blocking(pipe[0], False)
    seen = bytearray()

    def read():
        try:
            seen.extend(os.read(pipe[0], 1 << 20))
        except BlockingIOError:
            handler.emit(record("afterwards"))
        return bytes(seen[-300:])

    until_sync(read, lambda tail: b"afterwards" in tail, "a line after the jam")
    assert b"lines were dropped" in seen
