"""The connection to the Docker engine: blocking calls on a few threads, errors translated."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, InvalidConfigFile, NotFound
from urllib3.exceptions import HTTPError

from ci_common.completion import to_completion
from ci_common.errors import EngineFailingError, EngineUnavailableError
from ci_controller.executors.docker.error_kinds import explanation, is_engine_fault
from ci_controller.executors.shared.interruption import Interruption

Result = TypeVar("Result")

_THREADS = 32
_LOOKERS = 4
_METERS = 2
_TIMEOUT_SECONDS = 60

_REMOVAL_SECONDS = 10.0
"""A removal that somebody else began is waited for so long."""

_REMOVAL_PAUSE_SECONDS = 0.02


class DockerEngine:
    """Calls the engine named by `DOCKER_HOST`, or the one at the default socket.

    docker-py is synchronous and a client of it serves one thread, so each thread has its own.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        # Apart, so that stops and pulls, which take long, cannot make the engine look dead.
        self._lookers = ThreadPoolExecutor(_LOOKERS, thread_name_prefix="docker-look")
        self._meters = ThreadPoolExecutor(_METERS, thread_name_prefix="docker-measure")
        self._local = threading.local()
        self._clients: list[docker.APIClient] = []

    async def call(
        self,
        work: Callable[[docker.APIClient], Result],
        interruption: Interruption | None = None,
    ) -> Result:
        """Run `work` on a thread. When cancelled, waits for it first: a call cannot be undone,
        and whoever cleans up must come after it. Work that takes long looks at an `interruption`,
        so that this is soon.

        Raises EngineUnavailableError when the engine does not answer, and EngineFailingError
        when it answers with a trouble of its own; what it refuses for the job's fault comes as
        docker.errors.APIError.
        """
        future = self._begin(self._threads, work)
        interrupt = None if interruption is None else interruption.ask
        return await self._translated(to_completion(future, interrupt=interrupt))

    async def look(self, work: Callable[[docker.APIClient], Result]) -> Result:
        """The same for work that changes nothing. When cancelled, it is left to itself: whoever
        gives up on an engine that hangs must not hang with it.
        """
        return await self._translated(self._begin(self._lookers, work))

    async def measure(self, work: Callable[[docker.APIClient], Result]) -> Result:
        """The same for what is of interest only, on threads of its own: however long it takes, it
        keeps nothing else waiting.
        """
        return await self._translated(self._begin(self._meters, work))

    def _begin(
        self, threads: ThreadPoolExecutor, work: Callable[[docker.APIClient], Result]
    ) -> "asyncio.Future[Result]":
        def carry_out() -> Result:
            client = self._client()
            try:
                return work(client)
            finally:
                # docker-py keeps an idle connection for each URL that it was asked for, which is
                # each container. Those in use, such as an attached output's, stay.
                client.close()

        return asyncio.get_running_loop().run_in_executor(threads, carry_out)

    async def _translated(self, future: Awaitable[Result]) -> Result:
        with translated():
            return await future

    def new_client(self) -> docker.APIClient:
        """A client for a thread that is not one of ours; its owner closes it. May block.

        Raises what `translated` translates.
        """
        return docker.from_env(version="auto", timeout=_TIMEOUT_SECONDS).api

    def close(self) -> None:
        """Accept no more calls, and let go of the connections."""
        for threads in (self._threads, self._lookers, self._meters):
            threads.shutdown(wait=False, cancel_futures=True)
        for client in tuple(self._clients):
            client.close()

    def _client(self) -> docker.APIClient:
        client: docker.APIClient | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self.new_client()
            self._clients.append(client)
        return client


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise EngineUnavailableError when the engine does not answer, and EngineFailingError when it
    answers with a trouble of its own; what it refuses for the job's fault comes as it is.
    """
    try:
        yield
    except APIError as error:
        if not is_engine_fault(error):
            raise
        raise EngineFailingError(f"the Docker engine failed: {explanation(error)}") from error
    except (DockerException, requests.RequestException, HTTPError, OSError) as error:
        raise EngineUnavailableError(_no_answer(_innermost(error))) from error


def remove_container(client: docker.APIClient, container: str) -> None:
    """Remove a container, running or not, by name or id; nothing when it is gone.

    When somebody else is removing it, waits for that: until then its name is taken.
    """
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise
        _wait_until_gone(client, container)


def _wait_until_gone(client: docker.APIClient, container: str) -> None:
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while time.monotonic() < deadline:
        try:
            client.inspect_container(container)
        except NotFound:
            return
        time.sleep(_REMOVAL_PAUSE_SECONDS)


def _no_answer(cause: BaseException) -> str:
    told = str(cause) or type(cause).__name__
    if isinstance(cause, PermissionError):
        return (
            f"the server's user is not permitted to use the Docker daemon's socket ({told}). "
            "Add the user to the group `docker`, or set DOCKER_HOST to a daemon that it may use, "
            "and restart the server; jobs wait until then"
        )
    if isinstance(cause, InvalidConfigFile):
        return (
            f"the `config.json` of `docker login` cannot be read ({told}). Correct or remove it "
            "(it is in ~/.docker, or in $DOCKER_CONFIG); jobs wait until then"
        )
    return (
        f"the Docker daemon does not respond ({told}). Is it running? Start it, or set "
        "DOCKER_HOST; jobs wait until it responds"
    )


def _innermost(error: BaseException) -> BaseException:
    """The cause: docker-py wraps a refused connection four times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
