"""Sends spans to a collector, as OTLP over HTTP. It needs the extra `otel`, imported where wanted.

OpenTelemetry's own batching is not used: a collector that hangs would hold up the end of the
process, and it restarts threads in every forked child.
"""

import logging
import threading
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ci_common.distribution import installed_version
from ci_common.errors import SettingsError
from ci_common.installation import DISTRIBUTION
from ci_common.settings import TelemetrySettings
from ci_common.tracing import NO_TRACER, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

logger = logging.getLogger(__name__)

MOST_SPANS = 4096
"""Of those that wait for the collector; the oldest are dropped."""

_BATCH = 512
_GATHER_SECONDS = 1.0
_EXPORT_SECONDS = 5.0
CLOSE_SECONDS = 2.0


def open_tracer(settings: TelemetrySettings, role: str) -> Tracer:
    """What sends to the collector of the settings; `role` is what this process does.

    Raises SettingsError where OpenTelemetry is not installed.
    """
    if settings.otlp_endpoint is None:
        return NO_TRACER
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
    except ImportError as error:
        raise SettingsError(
            f"CI_OTLP_ENDPOINT is set, but OpenTelemetry cannot be used ({error}): "
            "pip install 'ci-runner[otel]', or unset CI_OTLP_ENDPOINT"
        ) from error
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it, once
    endpoint = f"{settings.otlp_endpoint}/v1/traces"
    exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
    about = {"service.name": DISTRIBUTION, "service.version": installed_version(), "ci.role": role}
    return OtlpTracer(exporter, Resource.create(about), endpoint)


class OtlpTracer(Tracer):
    """Keeps spans until a thread has sent them."""

    def __init__(self, exporter: Any, resource: "Resource", endpoint: str) -> None:
        """`exporter` is one of OpenTelemetry's for spans."""
        self._exporter = exporter
        self._resource = resource
        self._endpoint = endpoint
        self._spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._send_on, name="traces", daemon=True)
        self._thread.start()

    @property
    @override
    def is_recording(self) -> bool:
        return True

    @override
    def record(self, *spans: Span) -> None:
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify()

    @override
    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._is_failing:
            self._exporter.shutdown()  # it would try again, for as long as that may take
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            logger.warning("the collector %s takes too long: spans are lost", self._endpoint)

    def _send_on(self) -> None:
        while batch := self._next():
            self._send(batch)
        self._exporter.shutdown()

    def _next(self) -> list[Span]:
        """Some that were recorded shortly after each other; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._spans or self._is_closing)
            self._changed.wait_for(
                lambda: len(self._spans) >= _BATCH or self._is_closing, _GATHER_SECONDS
            )
            return [self._spans.popleft() for _ in range(min(len(self._spans), _BATCH))]

    def _send(self, batch: list[Span]) -> None:
        try:
            # Compared by name: the class is of a library that is not imported here.
            is_sent = self._exporter.export(list(map(self._readable, batch))).name == "SUCCESS"
        except Exception:
            is_sent = False
            if not self._is_failing:
                logger.exception("spans cannot be sent")
        if is_sent == self._is_failing:
            self._is_failing = not is_sent
            if is_sent:
                logger.info("the collector %s takes spans again", self._endpoint)
            else:
                logger.warning(
                    "the collector %s does not take spans; they are lost until it does",
                    self._endpoint,
                )

    def _readable(self, span: Span) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(span_id: str) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(
                int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags
            )

        failed = Status(StatusCode.ERROR, span.error) if span.error is not None else Status()
        return ReadableSpan(
            span.name,
            context(span.span_id),
            None if span.parent_id is None else context(span.parent_id),
            self._resource,
            dict(span.attributes),
            kind=SpanKind.INTERNAL,
            status=failed,
            start_time=_nanoseconds(span.start),
            end_time=_nanoseconds(max(span.end, span.start)),
        )


def _nanoseconds(moment: datetime) -> int:
    """Since 1970; exact to the microsecond."""
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
