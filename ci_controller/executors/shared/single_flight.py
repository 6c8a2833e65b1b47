"""One build for all who want the same thing at the same time; all see its output."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from ci_common.ports.logs import LogAppender

Result = TypeVar("Result")

_KEPT_OUTPUT_BYTES = 16 << 20
"""Memory bound for a build's output; what a hostile build writes beyond it is dropped."""

_DROPPED = b"\n[output beyond 16 MiB was dropped]\n"


class Transcript:
    """The output of a build, readable from its beginning while it grows."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._content = bytearray()
        self._grown = asyncio.Event()

    def write(self, content: bytes) -> None:
        """Add output; any thread."""
        self._loop.call_soon_threadsafe(self._extend, content)

    def _extend(self, content: bytes) -> None:
        room = _KEPT_OUTPUT_BYTES - len(self._content)
        if room > 0:
            self._content += content[:room]
            if len(content) > room:
                self._content += _DROPPED
        self._grown.set()
        self._grown = asyncio.Event()

    async def copy_to(self, log: LogAppender, build: "asyncio.Future[Any]") -> None:
        """Copy everything into `log` until the build is done."""
        position = 0
        while True:
            ended, grown = build.done(), self._grown
            if ended:
                await asyncio.sleep(0)  # lets the last output, already scheduled, arrive
            if chunk := bytes(self._content[position:]):
                log.append(chunk)
                position += len(chunk)
            if ended:
                return
            waiting = asyncio.create_task(grown.wait())
            try:
                await asyncio.wait([build, waiting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()


class SingleFlight(Generic[Result]):
    """Runs at most one build a key. A build nobody waits for any more is cancelled."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Result]] = {}

    async def run(
        self, key: str, build: Callable[[Transcript], Awaitable[Result]], log: LogAppender
    ) -> Result:
        """Start the build, or join the one under way; its output goes to `log`.

        Raises what the build raises, to every caller.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(build)
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiters += 1
        try:
            await flight.transcript.copy_to(log, flight.task)
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    def _forget(self, key: str, flight: "_Flight[Result]") -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class _Flight(Generic[Result]):
    def __init__(self, build: Callable[[Transcript], Awaitable[Result]]) -> None:
        self.transcript = Transcript()
        self.waiters = 0
        self.task: asyncio.Task[Result] = asyncio.create_task(self._run(build))

    async def _run(self, build: Callable[[Transcript], Awaitable[Result]]) -> Result:
        return await build(self.transcript)
