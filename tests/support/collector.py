"""A stand-in for a collector of traces: OTLP over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """Keeps spans by id, each with the role of the process that sent it; while it is `slow`, it
    keeps whoever sends waiting.
    """

    def __init__(self):
        self.spans = {}
        self.asked = threading.Event()
        self._answers = threading.Event()
        self._answers.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") is not None or self.path != "/v1/traces":
                    self.send_error(400)
                    return
                collector.asked.set()
                collector._answers.wait()
                collector._take(ExportTraceServiceRequest.FromString(content))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def slow(self):
        self.asked.clear()
        self._answers.clear()

    def quick(self):
        self._answers.set()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Be away: connections are refused."""
        self.quick()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request):
        for resource in request.resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.span_id.hex()] = (about["ci.role"], span)

    def of_trace(self, trace_id):
        """The spans of a trace, by name and attempt: role, span."""
        found = {}
        for role, span in list(self.spans.values()):
            if span.trace_id.hex() == trace_id:
                attempt = [a.value.int_value for a in span.attributes if a.key == "ci.job.attempt"]
                found[" ".join([span.name, *map(str, attempt)])] = (role, span)
        return found
