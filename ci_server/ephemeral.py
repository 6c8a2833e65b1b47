"""`python -m ci_server --ephemeral`: a server of the program that started it, which ends with it.

The program gives it an empty directory of its own (that of CI_DB_PATH), and keeps the other end of
its stdin open. One line of JSON on stdout tells the address and an API key that nobody else has, or
why there is no server. When stdin ends, which it also does when the program was killed, jobs are
cancelled, containers and the directory removed. Started once more in the directory of one that was
killed, it only removes what that one left.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from ci_common.errors import JobFinishedError, RunnerError, SettingsError
from ci_common.job import Job
from ci_common.ports.rows import JobQuery
from ci_common.principal import LOCAL_TENANT, Principal, Role
from ci_common.settings import Settings
from ci_server.greeting import url_of
from ci_server.services.jobs import JobService
from ci_server.wiring.instance import issue_key, remove_workloads, what_jobs_run_in

logger = logging.getLogger(__name__)

LOG_NAME = "server.log"
"""What the directory may hold already: our own stderr."""

_MARKER = "ephemeral"
"""A file that makes the directory ours, to be deleted."""

_HOST = "127.0.0.1"
_USER = "ci-run"
_OF_SERVERS_THAT_WAIT = "; jobs wait until"
"""What is said of an engine that does not answer."""
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILED = 3
_PAUSE_SECONDS = 0.05
_CANCEL_SECONDS = 630.0
"""A job may ask for a grace of ten minutes."""
_OWNER = Principal(tenant=LOCAL_TENANT, user=f"{_USER}@localhost", role=Role.SUBMITTER)
"""Of all its jobs: whoever has the key."""

Configure = Callable[[], uvicorn.Config]


class _Server(uvicorn.Server):
    """One whose signals are not its own: what follows its end has to be done, too."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, app: FastAPI, configure: Configure) -> int:
    """Serve until stdin ends, or a signal comes; the exit code. Raises SettingsError."""
    directory = settings.db_path.parent
    answers = _take_stdout()
    is_left = _check(directory)
    try:
        if is_left:
            asyncio.run(remove_workloads(settings))
            return 0
        token = asyncio.run(issue_key(settings, _USER))
        engine = asyncio.run(what_jobs_run_in(settings))
        try:
            asyncio.run(
                _serve(
                    _Server(configure()),
                    app,
                    lambda url: _tell(answers, server=url, api_key=token, jobs_run_in=engine),
                )
            )
        finally:
            # The controller has ended, and with the loop all it had begun on threads.
            asyncio.run(remove_workloads(settings))
    except RunnerError as error:
        logger.exception("the server ends")
        _tell(answers, error=error.message.partition(_OF_SERVERS_THAT_WAIT)[0])
        return _FAILED
    finally:
        _remove(directory)
    return 0


def _check(directory: Path) -> bool:
    """Nothing is to be deleted that somebody may need, and nobody else is to look in. Whether
    another process of ours was here, and was killed: what it left is to be removed.
    """
    status = directory.stat()
    is_private = status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
    names = {path.name for path in directory.iterdir()} - {LOG_NAME}
    if not is_private or (names and _MARKER not in names):
        raise SettingsError(
            f"CI_DB_PATH: with --ephemeral its directory is deleted at the end, so it must be "
            f"empty and this user's alone: {directory} is not"
        )
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        raise SettingsError("--ephemeral is for programs: stdin must be a pipe")
    (directory / _MARKER).touch()
    return bool(names)


def _remove(directory: Path) -> None:
    """All of it; but for a program that is still there, not the log, which it may want to read."""
    if select.select([0], [], [], 0)[0] and not os.read(0, 1):
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in list(directory.iterdir()):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOG_NAME:
            path.unlink(missing_ok=True)


def _take_stdout() -> int:
    """A descriptor for what the program reads; what else is written there goes to the log."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def _tell(answers: int, **facts: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(answers, json.dumps(facts).encode() + b"\n")


async def _serve(server: _Server, app: FastAPI, tell: Callable[[str], None]) -> None:
    is_over = _end_asked_for()
    with socket.create_server((_HOST, 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await _first(serving, server.listens.wait())
        if server.started:
            tell(url_of(_HOST, listener.getsockname()[1]))
            await _first(serving, is_over.wait())
            if not serving.done():
                await _cancel_all(app.state.native_api.service)
        server.should_exit = True
        await serving


def _end_asked_for() -> asyncio.Event:
    """Set when stdin ends or a signal comes."""
    loop, is_over = asyncio.get_running_loop(), asyncio.Event()
    for number in _ENDS:
        loop.add_signal_handler(number, is_over.set)

    def read() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            is_over.set()

    loop.add_reader(0, read)
    return is_over


async def _first(serving: "asyncio.Task[None]", other: Awaitable[object]) -> None:
    """Wait for either."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _cancel_all(jobs: JobService) -> None:
    """Cancel what has not ended, and wait for it: commands may have something to clean up."""
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            while live := await _live(jobs):
                for job in live:
                    if job.cancel_requested_at is None:
                        with contextlib.suppress(JobFinishedError):
                            await jobs.cancel(_OWNER, job.job_id)
                await asyncio.sleep(_PAUSE_SECONDS)
    except (RunnerError, TimeoutError):
        logger.exception("not all jobs ended; their containers are removed")


async def _live(jobs: JobService) -> list[Job]:
    found = await jobs.list_jobs(_OWNER, JobQuery())
    return [job for job in found if not job.status.is_terminal]
