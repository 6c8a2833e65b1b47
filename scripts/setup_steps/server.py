"""A server for the length of one quickstart: started on a free port, stopped whatever happens."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from setup_steps import venv
from setup_steps.console import SetupError, step, tail
from setup_steps.paths import ROOT

HOST = "127.0.0.1"
READY_SECONDS = 30.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A running server process, and where it answers."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The address to give to clients."""
        return f"http://{HOST}:{self.port}"

    def log_tail(self) -> str:
        """The end of what the server wrote, for error messages."""
        with self.log.open(encoding="utf-8", errors="replace") as stream:
            return tail(stream)


@contextmanager
def running(directory: Path, executor: str, python: Path = venv.PYTHON) -> Iterator[Server]:
    """A server that keeps its database and jobs in `directory` and is ready for jobs.

    Raises:
        SetupError: it ended, or was not ready in time; with the end of its log.
    """
    server = _start(directory, executor, python)
    try:
        with step(f"Starting a server at {server.url}"):
            wait_until_ready(server)
        yield server
    finally:
        _stop(server)


def database(directory: Path) -> Path:
    """Where such a server keeps its rows."""
    return directory / "ci_jobs.db"


def environment(directory: Path, executor: str) -> dict[str, str]:
    """The settings of such a server; its containers' names are told apart by their prefix."""
    return {
        **venv.child_environment(),
        "CI_DB_PATH": str(database(directory)),
        "CI_EXECUTOR": executor,
        "CI_CONTAINER_PREFIX": f"quickstart-{os.getpid()}-",
    }


def wait_until_ready(server: Server, seconds: float = READY_SECONDS) -> None:
    """Wait for 200 from `/ready`.

    Raises:
        SetupError: the server ended, or still had a reason not to be ready at the deadline.
    """
    deadline = time.monotonic() + seconds
    while True:
        status, answer = _ask_ready(server.port)
        if status == http.client.OK:
            return
        if server.process.poll() is not None:
            what = f"The server ended with {server.process.returncode} before it was ready"
            raise SetupError(f"{what}. The end of its log:\n{server.log_tail()}")
        if time.monotonic() > deadline:
            what = f"The server was not ready after {seconds:.0f} s: {answer}"
            raise SetupError(f"{what}\nThe end of its log:\n{server.log_tail()}")
        time.sleep(0.05)


def _start(directory: Path, executor: str, python: Path) -> Server:
    port, log = _free_port(), directory / "server.log"
    argv = [str(python), "-m", "ci_server"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*argv, "--host", HOST, "--port", str(port)],
            cwd=ROOT,
            env=environment(directory, executor),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the client; the server still has to cancel
        )
    return Server(process, port, log)


def _free_port() -> int:
    with closing(socket.create_server((HOST, 0))) as listener:
        return int(listener.getsockname()[1])


def _ask_ready(port: int) -> tuple[int, str]:
    """Status and reason; never through a proxy."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        try:
            connection.request("GET", "/ready")
            response = connection.getresponse()
            return response.status, _reason(response.read())
        except (OSError, http.client.HTTPException) as error:
            return 0, f"it does not answer ({error})"


def _reason(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message", answer) if isinstance(error, dict) else answer)


def _stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
