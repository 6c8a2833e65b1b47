"""A worker from its start to its end, as the command `serve` runs it."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engine.errors import RequestError
from engine.service.limits import WorkerLimits
from engine.service.log import LOG
from engine.service.model_process import warm_up
from engine.service.settings import SECRETS, read_settings
from engine.service.worker import Worker
from engine.valuation.capabilities import memory_limit

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
ENDED = b"\0"  # no signal has this number


def serve(host: str, port: int | None, limits: WorkerLimits) -> None:
    """Serve until SIGTERM or SIGINT, and then until the model that runs has ended or its grace has.
    Another signal ends it at once. `port` is instead of the environment's.

    Raises:
        RequestError: a setting is wrong, or the system is one without forks and signals.
    """
    if sys.platform == "win32":
        raise RequestError("serve needs Linux or another POSIX system")
    settings = read_settings(os.environ, memory_limit())
    for name in SECRETS:
        os.environ.pop(name, None)  # models' processes would inherit it
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    limits = replace(limits, memory=settings.memory)
    address = (host, settings.port if port is None else port)
    with Worker(address, limits, settings.access) as worker, _signals() as (reader, writer):
        warm_up()
        if not worker.verdict.passed:
            LOG.error(
                "not ready: this machine gives wrong results: %s", "; ".join(worker.verdict.failed)
            )
        if settings.access.is_open and host not in LOCAL_HOSTS:
            LOG.warning("anyone who can reach this port may send models: set ENGINE_TOKEN")
        shown = f"[{host}]" if ":" in host else worker.server_address[0]
        print(f"listening on http://{shown!s}:{worker.server_address[1]}", flush=True)
        serving = threading.Thread(target=worker.serve_forever, args=(0.1,))
        serving.start()
        os.read(reader, 1)
        LOG.info("stopping: a running model has %d s to finish", settings.grace)
        _drain(worker, settings.grace, reader, writer)
        worker.shutdown()
        serving.join()


def _drain(worker: Worker, grace: float, reader: int, writer: int) -> None:
    """Let the model end, or end it when another signal comes."""

    def drain() -> None:
        worker.drain(grace)
        os.write(writer, ENDED)

    threading.Thread(target=drain, daemon=True).start()
    while os.read(reader, 1) != ENDED:
        worker.give_up()


@contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """A pipe that gets a byte for each signal, whichever thread the system interrupts for it; they
    are handled as before in the end.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.signal(number, _noted) for number in numbers]
    wakeup = signal.set_wakeup_fd(writer)
    try:
        yield reader, writer
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _noted(number: int, frame: object) -> None:
    """The pipe has its byte already."""
