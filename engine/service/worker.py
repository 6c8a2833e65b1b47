"""The worker: send it a small model over HTTP, get its result.

    GET  /health        the process and its machine; 200 as long as it answers
    GET  /ready         200, or 503 when no models should be sent here
    GET  /metrics       for Prometheus
    GET  /capabilities  what `engine.valuation.capabilities` says, and the verdict on parity
    POST /execute       a model, as a zip (application/zip), or as JSON (application/json):
                        {"config": {…}, "files": {"policies.csv": "policy_id,…", …}}

The answer to a model is its `results.json`; with `Accept: text/event-stream`, events of its
progress come first. An error is {"error": {"code", "message"}}; for a model that is not valid, with
the list of its problems. Models are run one after the other, each in a process of its own; one that
comes while another runs is told to come again. Hooks are Python code: they are refused unless they
were allowed when the worker was started. docs/worker.md is for those who run it.
"""

import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np

from engine.output.results import canonical
from engine.parity.verdict import Verdict, verdict
from engine.service.access import Access
from engine.service.answers import RETRY_SECONDS, come_again
from engine.service.handler import Handler
from engine.service.limits import WorkerLimits
from engine.service.log import LOG
from engine.service.metrics import Metrics
from engine.valuation import capabilities
from engine.valuation.machine import current_memory, peak_memory

FINISH_SECONDS = 5.0  # for answers that are under way when the grace has ended


class Worker(ThreadingHTTPServer):
    """The server; `server_address` says where it listens. Serves from `serve_forever` on."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], limits: WorkerLimits, access: Access | None = None
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)
        self.limits = limits
        self.access = access or Access()
        self.metrics = Metrics()
        self.busy = threading.Lock()
        self.draining = False
        self.stop, self._stop_writer = os.pipe()
        self._open = 0
        self._answering = 0
        self._idle = threading.Condition()
        self._started = time.monotonic()

    # -------------------------------------------------------------- what it says of itself

    @cached_property
    def verdict(self) -> Verdict:
        """Whether this machine gives the results of every other; found out once."""
        return verdict()

    @cached_property
    def _machine(self) -> dict[str, Any]:
        return capabilities.capabilities()

    def capabilities(self) -> dict[str, Any]:
        """The answer of `/capabilities`."""
        return self._machine | self.verdict.document()

    def health(self) -> dict[str, Any]:
        """The answer of `/health`."""
        return {
            "status": "draining" if self.draining else "ok",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "capabilities": self._machine,
            "memory_bytes": current_memory(),
            "peak_memory_bytes": peak_memory(),
            "memory_limit_bytes": self._machine["memory_limit_bytes"],
            "model_memory_limit_bytes": self.limits.memory,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "running": self.busy.locked(),
        }

    def readiness(self) -> dict[str, Any]:
        """The answer of `/ready`. A busy worker is ready: it is not for long.

        Raises:
            Refused: it is about to stop, or its results would not be those of others.
        """
        if self.draining:
            raise come_again("the worker is shutting down")
        if not self.verdict.passed:
            raise come_again(f"this machine gives wrong results: {'; '.join(self.verdict.failed)}")
        return {"status": "ready"}

    def metrics_text(self) -> str:
        """The answer of `/metrics`."""
        health = self.health()
        return self.metrics.text(
            {
                "engine_busy": ("1 while a model is running.", int(health["running"])),
                "engine_draining": ("1 after SIGTERM.", int(self.draining)),
                "engine_parity_passed": ("1 if results are correct.", int(self.verdict.passed)),
                "engine_memory_bytes": (
                    "Memory of the worker without models.",
                    health["memory_bytes"],
                ),
                "engine_memory_limit_bytes": (
                    "Memory of the container.",
                    health["memory_limit_bytes"],
                ),
                "engine_model_memory_limit_bytes": (
                    "Memory limit of a model.",
                    self.limits.memory,
                ),
                "engine_uptime_seconds": ("Seconds since the start.", health["uptime_seconds"]),
            }
        )

    # -------------------------------------------------------------- requests

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is answered."""
        with self._idle:
            self._answering += 1
        try:
            yield
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    @contextmanager
    def model_slot(self) -> Iterator[None]:
        """While a model runs: one at a time.

        Raises:
            Refused: another one does, or the worker is about to stop.
        """
        if self.draining:
            raise come_again("the worker is shutting down: send the model again")
        if not self.busy.acquire(blocking=False):
            self.metrics.count_busy()
            raise come_again("another model is running: try again later")
        try:
            yield
        finally:
            self.busy.release()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, of which there is a bounded number."""
        with self._idle:
            has_room = self._open < self.limits.connections
            self._open += has_room
        if not has_room:
            self._turn_away(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._closed()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._closed()

    @property
    def crowded(self) -> bool:
        """Whether connections are closed after an answer, to have room for probes and others."""
        return self._open > self.limits.connections // 2

    def _closed(self) -> None:
        with self._idle:
            self._open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke, or a request met an error that nobody expected."""
        error = sys.exception()
        if isinstance(error, OSError):
            LOG.debug("%s: %r", client_address, error)
        else:
            LOG.exception("unexpected error on a connection")

    def _turn_away(self, request: socket.socket) -> None:
        """Answer at once, without a thread and without waiting for anything."""
        content = canonical(come_again("too many connections: try again later").document) + b"\n"
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nRetry-After: {RETRY_SECONDS}\r\n"
            "Connection: close\r\n\r\n"
        )
        request.setblocking(False)
        with suppress(OSError):
            request.send(head.encode("ascii") + content)
            request.recv(1 << 16)  # unread bytes would reset the connection
        self.metrics.count_request("other", 503)
        self.shutdown_request(request)

    # -------------------------------------------------------------- the end

    def drain(self, grace: float) -> None:
        """Take no more models, and let the one that runs end, for some seconds; then end it."""
        self.draining = True
        if not self._wait_until_idle(grace):
            self.give_up()
            self._wait_until_idle(FINISH_SECONDS)

    def give_up(self) -> None:
        """End the model that runs; its client is told."""
        with self._idle:
            if self._stop_writer >= 0:
                os.close(self._stop_writer)
                self._stop_writer = -1

    def server_close(self) -> None:
        """Close what is open."""
        super().server_close()
        self.give_up()
        if self.stop >= 0:
            os.close(self.stop)
            self.stop = -1

    def _wait_until_idle(self, seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._answering == 0, seconds)
