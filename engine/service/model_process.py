"""Each model in a process of its own, so that none takes the worker with it.

A process can be ended at any moment: when its client has gone, or when the worker has to stop. It
may take a bounded amount of memory (RLIMIT_DATA, where there is one), so that it meets a
MemoryError before the kernel looks for something to kill; and if the kernel does look, it finds
the model first. Processes are forked from a server process that has imported everything, where the
system can do that; elsewhere they are started anew.
"""

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.errors import EngineError, ModelError, RequestError
from engine.model.config import load_config
from engine.model.package import opened
from engine.output.results import canonical
from engine.output.run import Changes, Request, Run, run
from engine.service.answers import (
    Refused,
    come_again,
    error_document,
    memory_document,
    status_of,
)
from engine.service.limits import WorkerLimits
from engine.service.log import LOG
from engine.service.model_files import check_size, model_of
from engine.valuation.progress import INTERVAL_SECONDS

HAS_SERVER = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = (
    multiprocessing.get_context("forkserver")
    if HAS_SERVER
    else multiprocessing.get_context("spawn")
)
if HAS_SERVER:
    CONTEXT.set_forkserver_preload([__name__, "engine.__main__"])  # each process imports the latter
PROGRESS, RESULT, ERROR = b"p", b"r", b"e"
FIRST_TO_GO = "1000"
STOPPED = "stopped"
NO_THREAD = "can't start new thread"


@dataclass(frozen=True)
class Task:
    """A model in the file `body` of a directory, which the caller removes when it has ended."""

    directory: Path
    content_type: str
    limits: WorkerLimits


@dataclass(frozen=True)
class Outcome:
    """How a model ended: a word for the metrics, and the answer to its client, in JSON."""

    word: str
    status: HTTPStatus
    content: bytes
    peak_memory: int | None = None


class ClientGone(Exception):
    """Nobody waits for the result any more."""


Step = dict[str, Any] | Outcome | None


def warm_up() -> None:
    """Start what processes are forked from, so that the first model does not wait for it."""
    process = CONTEXT.Process(target=int)
    process.start()
    process.join()
    process.close()


def execute(task: Task, client: socket.socket, stop: int) -> Generator[Step, None, None]:
    """Run a model: its progress as it comes, None for a while without any, and its outcome.

    `stop` is a file descriptor at its end when the model has to end at once. Closing the iterator
    ends the model.

    Raises:
        ClientGone: the client has closed its connection.
    """
    try:
        process, ours = _started(task)
    except OSError:
        LOG.exception("no process for a model")
        yield _failed("no process can be started for the model")
        return
    try:
        yield from _steps(process, ours, task.limits, client, stop)
    finally:
        ours.close()
        process.kill()
        process.join()
        process.close()


def _started(task: Task) -> tuple[Any, Connection]:
    """A process, and the worker's end of the connection to it."""
    ours, theirs = CONTEXT.Pipe()
    with theirs:
        try:
            process = CONTEXT.Process(target=_main, args=(theirs, task), daemon=True)
            process.start()
        except BaseException:
            ours.close()
            raise
    return process, ours


def _steps(
    process: Any, ours: Connection, limits: WorkerLimits, client: socket.socket, stop: int
) -> Generator[Step, None, None]:
    watched: list[Any] = [ours, stop, client]
    while True:
        ready = multiprocessing.connection.wait(watched, limits.heartbeat_seconds)
        if ours in ready:
            step = _received(process, ours, limits)
            yield step
            if isinstance(step, Outcome):
                return
        elif client in ready:
            _check_client(client)
            watched.remove(client)  # the next request is there already, and waits
        elif stop in ready:
            yield stopped()
            return
        else:
            yield None


def stopped() -> Outcome:
    """The worker ended the model."""
    refused = come_again("the worker was stopped before the model had ended: send it again")
    return Outcome(STOPPED, refused.status, canonical(refused.document))


def _check_client(client: socket.socket) -> None:
    try:
        if client.recv(1, socket.MSG_PEEK):
            return
    except OSError as error:
        raise ClientGone from error
    raise ClientGone


def _received(process: Any, ours: Connection, limits: WorkerLimits) -> Step:
    try:
        message = ours.recv_bytes()
    except (EOFError, OSError):
        process.join()
        return _died(process.exitcode, limits)
    kind, content = message[:1], message[1:]
    if kind == PROGRESS:
        return dict(json.loads(content))
    if kind == RESULT:
        size, _, document = content.partition(b"\n")
        return Outcome("completed", HTTPStatus.OK, document, int(size) or None)
    word, status, document = content.split(b"\n", 2)
    return Outcome(word.decode(), HTTPStatus(int(status)), document)


def _died(code: int | None, limits: WorkerLimits) -> Outcome:
    """It did not say how it ended. The kernel's way of making room is SIGKILL."""
    if sys.platform != "win32" and code == -signal.SIGKILL:
        content = memory_document(limits.memory)
        return Outcome("memory", HTTPStatus.UNPROCESSABLE_ENTITY, canonical(content))
    return _failed(f"the model's process ended with {code}")


def _failed(message: str) -> Outcome:
    refused = Refused(HTTPStatus.INTERNAL_SERVER_ERROR, message)
    return Outcome("failed", refused.status, canonical(refused.document))


# ------------------------------------------------------------------ in the model's process


def _main(worker: Connection, task: Task) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    threading.Thread(target=_end_with_worker, args=(worker,), daemon=True).start()
    _go_first()
    _limit_memory(task.limits.memory)
    tempfile.tempdir = str(task.directory)  # so that all is removed with it
    worker.send_bytes(_answer(worker, task))


def _answer(worker: Connection, task: Task) -> bytes:
    try:
        with redirect_stdout(sys.stderr):
            result = _run(task, _Messages(worker))
        size = result.timings["peak_memory_bytes"] or 0
        return RESULT + b"%d\n" % size + canonical(result.document)
    except Refused as error:
        return _error("invalid", error.status, error.document)
    except EngineError as error:
        word = "invalid" if isinstance(error, ModelError | RequestError) else "failed"
        return _error(word, status_of(error), error_document(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != NO_THREAD:
            raise
    content = memory_document(task.limits.memory)
    return _error("memory", HTTPStatus.UNPROCESSABLE_ENTITY, content)


def _error(word: str, status: HTTPStatus, document: dict[str, Any]) -> bytes:
    return ERROR + b"%s\n%d\n" % (word.encode(), status) + canonical(document)


def _run(task: Task, progress: "_Messages") -> Run:
    limits = task.limits
    path = model_of(task.directory, task.content_type)
    with opened(path, max_unpacked=limits.unpacked) as root:
        check_size(load_config(root), limits)
        changes = Changes(threads=limits.threads, max_memory=limits.blocks)
        return run(Request(root, changes, allow_hooks=limits.allow_hooks), progress)


class _Messages:
    """Progress that is sent to the worker: the ends of each phase, and not too much between."""

    def __init__(self, worker: Connection) -> None:
        self._worker = worker
        self._phase: str | None = None
        self._last = 0.0

    def update(self, phase: str, current: int, total: int) -> None:
        """Send, if it is time to."""
        now = time.monotonic()
        if phase == self._phase and current < total and now - self._last < INTERVAL_SECONDS:
            return
        self._phase, self._last = phase, now
        step = {"phase": phase, "current": current, "total": total}
        self._worker.send_bytes(PROGRESS + json.dumps(step).encode())


def _end_with_worker(worker: Connection) -> None:
    """The worker sends nothing; its end closes the connection."""
    with suppress(EOFError, OSError):
        worker.recv_bytes()
    os._exit(1)


def _go_first() -> None:
    """Have the kernel end this process before the worker when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)


def _limit_memory(limit: int | None) -> None:
    if limit is None or sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
