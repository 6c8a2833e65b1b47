"""A job's stream as a WebSocket: at the path of its event stream, chosen by the upgrade."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection

from ci_common.errors import RunnerError
from ci_common.events import CompleteEvent, LogEvent
from ci_common.job import Job, utc_now
from ci_common.ports.artifacts import ArtifactReader
from ci_common.progress import MAX_LINE_BYTES, Initialized, ProgressLines
from ci_common.strict_json import AmbiguousJsonError, strict_object
from ci_server.apis.models import messages
from ci_server.apis.models.messages import LogMessages
from ci_server.apis.models.npv_values import value_frames
from ci_server.http.byte_range import offset_in_log
from ci_server.http.guards import Reader, stream_slot
from ci_server.http.standing_access import StandingAccess, standing_access
from ci_server.services.jobs import JobService
from ci_server.services.model_results import ModelResults
from ci_server.streams.log_stream import LogStreams

logger = logging.getLogger(__name__)

MOST_MESSAGES = 1000
"""Of a client. It needs one at most."""

DONE = 1000
NOT_UNDERSTOOD = 1008
ACCESS_ENDED = 1008
"""Both are violations of a policy."""
DEFECT = 1011
TRY_AGAIN = 1013
"""Close codes; uvicorn's own are 1002, 1007, 1009, 1011 and 1012."""

_IGNORED = "execute"
_LOOK_BACK_BYTES = 64 << 10
"""Of the log before the offset, where `::initialized` may be; more than the longest report."""


@dataclass(frozen=True, slots=True)
class SocketApi:
    """What the stream needs."""

    jobs: JobService
    results: ModelResults
    streams: LogStreams
    artifacts: ArtifactReader
    cache: LogMessages


async def _socket_api(connection: HTTPConnection) -> SocketApi:
    api: SocketApi = connection.app.state.socket_api
    return api


Api = Annotated[SocketApi, Depends(_socket_api)]

router = APIRouter()


@router.websocket("/jobs/{job_id}/stream")
async def watch_job(
    socket: WebSocket,
    job_id: str,
    api: Api,
    principal: Reader,
    offset: str | None = None,
    binary: Literal["f64"] | None = None,
) -> None:
    """Watch a job from the beginning of its log, or from `offset` on; `binary` asks for values."""
    job = await api.jobs.open_log(principal, job_id)
    start = 0 if offset is None else offset_in_log(api.streams, job, offset)
    api.streams.check_readable(job)
    stream_slot(socket, principal)
    await socket.accept()
    watching = _Watching(api, socket, job, start, with_values=binary is not None)
    if code := await _first_end(socket, job, watching):
        await _close(socket, code)


async def _first_end(socket: WebSocket, job: Job, watching: "_Watching") -> int | None:
    """Send and listen until either ends; the code to close with, `None` when the client closed."""
    tasks: list[asyncio.Task[int | None]] = [
        asyncio.create_task(watching.run()),
        asyncio.create_task(_listen(socket, job)),
    ]
    if access := standing_access(socket.scope):
        tasks.append(asyncio.create_task(_access_ended(access)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    except WebSocketDisconnect:
        return None
    except RunnerError as error:
        logger.error("job %s: closing the WebSocket: %s", job.job_id, error)  # noqa: TRY400
        return DEFECT
    except Exception:
        logger.exception("job %s: the WebSocket is closed", job.job_id)
        return DEFECT
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _access_ended(access: StandingAccess) -> int:
    await access.ends()
    return ACCESS_ENDED


async def _close(socket: WebSocket, code: int) -> None:
    try:
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):
        logger.debug("the client disconnected before the end of the job was sent")


async def _listen(socket: WebSocket, job: Job) -> int | None:
    """Take what the client says; the code to close with, `None` when it closed."""
    for _ in range(MOST_MESSAGES):
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        kind = _kind_of(message.get("text"))
        if kind is None:
            return NOT_UNDERSTOOD
        if kind != _IGNORED:
            await socket.send_text(messages.unsupported(job, kind))
    return NOT_UNDERSTOOD


def _kind_of(text: str | None) -> str | None:
    """The type of a client's message; `None` when it is not one."""
    try:
        kind = strict_object((text or "").encode()).get("type")
    except AmbiguousJsonError:
        return None
    return kind if isinstance(kind, str) else None


class _Watching:
    """What one client is sent."""

    def __init__(
        self, api: SocketApi, socket: WebSocket, job: Job, start: int, *, with_values: bool
    ) -> None:
        self._api = api
        self._socket = socket
        self._job = job
        self._start = start
        self._with_values = with_values
        self._lines = ProgressLines()
        self._has_said_what = False
        """Whether `initialized` was sent."""

    async def run(self) -> int | None:
        """Send everything, to the end of the job; the code to close with."""
        await self._socket.send_text(messages.connected(utc_now()))
        if self._start:
            await asyncio.to_thread(self._read_before)
        if self._lines.initialized:
            await self._say_what(self._lines.initialized)
        async with aclosing(self._api.streams.events(self._job, self._start)) as events:
            async for event in events:
                if isinstance(event, LogEvent):
                    await self._send_log(event)
                elif isinstance(event, CompleteEvent):
                    await self._send_end(event.job)
                    return DONE
        return TRY_AGAIN

    async def _send_log(self, event: LogEvent) -> None:
        for message in self._api.cache.encode(self._job.job_id, event):
            await self._socket.send_text(message)
        _, steps = self._lines.feed(event.content)
        if self._lines.initialized or steps:
            await self._say_what(self._lines.initialized)
        for step in steps:
            if step.current >= 1:  # as published; a phase that has only begun is not told
                await self._socket.send_text(messages.progress(self._job, step))

    async def _say_what(self, told: Initialized | None) -> None:
        """What the job works on: told before its first progress, and once."""
        if not self._has_said_what:
            self._has_said_what = True
            await self._socket.send_text(messages.initialized(self._job, told))

    def _read_before(self) -> None:
        """Bring `_lines` to where the client resumes: perhaps behind `::initialized`, or into the
        middle of a line. The progress before that is not sent again.
        """
        streams, job, start = self._api.streams, self._job, self._start
        try:
            self._lines.feed(streams.read(job, 0, min(start, _LOOK_BACK_BYTES)))
            streams.check_stored(job, start)
            if start > _LOOK_BACK_BYTES:
                before = streams.read(job, start - MAX_LINE_BYTES - 1, start)
                self._lines.skip_line()
                self._lines.feed(b"\n" + before.rpartition(b"\n")[2])
        except (RunnerError, OSError) as error:
            logger.info("job %s: its log cannot be read: %s", job.job_id, error)
            self._lines.skip_line()

    async def _send_end(self, job: Job) -> None:
        if job.started_at is not None:
            await self._say_what(None)
        result = await self._api.results.result(job)
        if result is None:
            failure = await self._api.results.failure(job)
            await self._socket.send_text(messages.failed(job, failure))
            return
        if result.document is not None:
            await self._socket.send_bytes(messages.results(job, result.document))
        if self._with_values:
            await self._send_values(job)
        await self._socket.send_text(messages.complete(job, result.document))

    async def _send_values(self, job: Job) -> None:
        found = await self._api.results.values(job)
        async with aclosing(value_frames(self._api.artifacts, job.job_id, found)) as frames:
            async for frame in frames:
                await self._socket.send_bytes(frame)
