"""`traceparent` is parsed strictly; spans of a job have the same ids wherever they are made."""

import json
import logging
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from ci_common.errors import SettingsError
from ci_common.job import JobStatus, Outcome, Reason, Visibility
from ci_common.job_events import JobEvent, JobEventKind
from ci_common.log_lines import JsonFormatter
from ci_common.otlp import open_tracer
from ci_common.settings import TelemetrySettings
from ci_common.trace_context import TraceContext, about_job, own_trace_id, span_id_of
from ci_controller.telemetry.job_traces import spans_of
from support.jobs import NOON, a_job

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("header", [HEADER, f"01-{TRACE}-{SPAN}-01-more", f"cc-{TRACE}-{SPAN}-09"])
def test_what_is_taken(header):
    found = TraceContext.parse(header)
    assert found == TraceContext(TRACE, SPAN, sampled=True)
    assert str(found) == HEADER, "what is kept is bounded"


def test_whoever_does_not_record_says_so():
    assert TraceContext.parse(f"00-{TRACE}-{SPAN}-02").sampled is False


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        HEADER.upper(),
        HEADER + "-more",
        HEADER + " ",
        HEADER + "\n",
        f" {HEADER}",
        f"{HEADER},{HEADER}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-{'x' * 9000}",
        "x" * 1_000_000,
    ],
    ids=range(14),
)
def test_what_is_ignored(header):
    assert TraceContext.parse(header) is None


def event(kind, seconds, seq):
    at = NOON + timedelta(seconds=seconds)
    return JobEvent(seq, "job", "acme", "ann", kind, at, {}, Visibility.TENANT)


def ended(outcome, seconds, *kinds, **spec):
    job = a_job(outcome.status, created_at=NOON, **spec)
    events = [event(kind, second, number) for number, (kind, second) in enumerate(kinds)]
    at_its_end = replace(job, ended_at=NOON + timedelta(seconds=seconds), outcome=outcome)
    return spans_of(at_its_end, events)


def shape(spans):
    """Name, attempt, beginning and length in seconds, and why it failed."""
    return [
        (
            span.name,
            span.attributes.get("ci.job.attempt"),
            (span.start - NOON).total_seconds(),
            (span.end - span.start).total_seconds(),
            span.error,
        )
        for span in spans
    ]


LOST = Outcome(JobStatus.FAILED, Reason.LOST, "it vanished")


def test_each_attempt_has_spans_of_its_own():
    kinds = JobEventKind
    spans = ended(
        Outcome(JobStatus.COMPLETED, Reason.EXIT, "exited", 0),
        20,
        (kinds.SUBMITTED, 0),
        (kinds.CLAIMED, 1),
        (kinds.STARTED, 3),
        (kinds.PROGRESS, 4),
        (kinds.RETRIED, 10),
        (kinds.STARTED, 12),
        (kinds.FINISHED, 20),
    )
    assert shape(spans) == [
        ("job", None, 0, 20, None),
        ("queue", 1, 0, 1, None),
        ("launch", 1, 1, 2, None),
        ("run", 1, 3, 7, "lost"),
        ("launch", 2, 10, 2, None),
        ("run", 2, 12, 8, None),
    ]
    job_id = spans[0].attributes["ci.job.id"]
    assert {span.trace_id for span in spans} == {own_trace_id(job_id)}
    assert spans[0].parent_id == span_id_of(job_id, "submit")
    assert {span.parent_id for span in spans[1:]} == {spans[0].span_id}
    assert len({span.span_id for span in spans}) == len(spans)


def test_a_job_that_never_started_ends_where_it_was():
    kinds = JobEventKind
    cancelled = Outcome(JobStatus.CANCELLED, Reason.CANCELLED, "cancelled")
    assert shape(ended(cancelled, 5, (kinds.SUBMITTED, 0), (kinds.FINISHED, 5)))[1:] == [
        ("queue", 1, 0, 5, "cancelled")
    ]
    found = ended(LOST, 5, (kinds.SUBMITTED, 0), (kinds.CLAIMED, 2), (kinds.FINISHED, 5))
    assert shape(found)[1:] == [("queue", 1, 0, 2, None), ("launch", 1, 2, 3, "lost")]


def line_of(text, *arguments, exc_info=None):
    record = logging.LogRecord("name", logging.ERROR, "file", 1, text, arguments, exc_info)
    written = JsonFormatter(lambda text: text.replace("hidden", "***")).format(record)
    assert "\n" not in written
    assert written.isascii()
    assert written.isprintable()
    return json.loads(written)


def test_a_line_names_the_job_that_the_task_is_about():
    job = a_job(job_id="6f1f7a52-0000-4000-8000-000000000001")
    with about_job(job):
        line = line_of("launched")
    assert (line["job_id"], line["trace_id"]) == (job.job_id, own_trace_id(job.job_id))
    assert line_of("launched")["job_id"] is None
    assert line_of("job %s: waits", job.job_id)["job_id"] == job.job_id
    assert line_of('"GET /jobs/%s/stream"', job.job_id)["job_id"] == job.job_id


def test_whatever_is_in_a_message_it_is_one_line():
    try:
        raise ValueError("hidden\nU+2028 \u2028 \x00 \x7f \x9b1m")
    except ValueError:
        line = line_of("hidden %s", "\r\n\x1b[31m\x7f\u2028\ud800", exc_info=sys.exc_info())
    assert line["message"] == "*** \r\n\x1b[31m\x7f\u2028\ud800"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "hidden" not in line["exception"]


def test_without_opentelemetry_the_setting_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    settings = TelemetrySettings(otlp_endpoint="http://localhost:4318")
    with pytest.raises(SettingsError, match=r"pip install 'ci-runner\[otel\]'"):
        open_tracer(settings, "server")
