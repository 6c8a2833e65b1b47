"""Spans wait for a collector, and nobody waits for it."""

import threading
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.resources import Resource

from ci_common import otlp
from ci_common.otlp import MOST_SPANS, OtlpTracer
from ci_common.tracing import Span
from support.jobs import NOON
from support.waiting import until_sync

OK, FAILED = SimpleNamespace(name="SUCCESS"), SimpleNamespace(name="FAILURE")


class Exporter:
    """One of OpenTelemetry's, as far as a tracer knows it; it hangs until `go_on` is set."""

    def __init__(self):
        self.batches = []
        self.asked, self.go_on, self.ended = (threading.Event() for _ in range(3))
        self.answer = OK

    def export(self, spans):
        self.asked.set()
        self.go_on.wait()
        self.batches.append([span.name for span in spans])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def shutdown(self):
        self.ended.set()


@pytest.fixture
def exporter():
    exporter = Exporter()
    yield exporter
    exporter.go_on.set()
    assert exporter.ended.wait(60)


@pytest.fixture
def tracer(exporter, monkeypatch):
    monkeypatch.setattr(otlp, "_GATHER_SECONDS", 0.01)
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.05)
    tracer = OtlpTracer(exporter, Resource({}), "http://collector")
    yield tracer
    tracer.close()


def spans(*names):
    return [Span(name, "1" * 32, "2" * 16, None, NOON, NOON) for name in names]


def test_while_it_hangs_the_newest_are_kept_and_the_end_comes_all_the_same(
    exporter, tracer, caplog
):
    tracer.record(*spans("first"))
    assert exporter.asked.wait(60)
    names = [str(number) for number in range(MOST_SPANS + 100)]
    tracer.record(*spans(*names))
    tracer.close()
    assert "takes too long: spans are lost" in caplog.text
    exporter.go_on.set()
    assert exporter.ended.wait(60)
    assert [name for batch in exporter.batches for name in batch] == ["first", *names[100:]]


def test_that_it_is_away_is_said_once(exporter, tracer, caplog):
    caplog.set_level("INFO", "ci_common.otlp")
    exporter.go_on.set()
    for answer in (FAILED, FAILED, ConnectionError("no"), OK):
        exporter.answer = answer
        number = len(exporter.batches)
        tracer.record(*spans("one"))
        until_sync(lambda number=number: len(exporter.batches) > number)
    until_sync(lambda: "takes spans again" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
