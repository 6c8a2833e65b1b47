"""The output of a container whose init process keeps it (port Output).

Frames of the init process's stdout come at once; what does not come that way is read from its
spool. Each frame tells its offset, so whatever was missed shows, and nothing is taken twice.
"""

import errno
import logging
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, NotFound
from typing_extensions import override

from ci_common.errors import (
    EngineFailingError,
    EngineUnavailableError,
    LaunchFailedError,
    RunnerError,
    WorkloadLostError,
)
from ci_common.ports.workloads import Output, OutputEnd, Workload, WorkloadState
from ci_controller.executors.docker import container
from ci_controller.executors.docker.engine import DockerEngine, translated
from ci_controller.executors.docker.error_kinds import explanation, is_unreadable
from ci_controller.executors.docker.files import read_file
from ci_controller.executors.docker.keeper import protocol
from ci_controller.executors.docker.keeper.protocol import Frame, FrameKind, FrameParser, Phase
from ci_controller.executors.docker.output import AttachedOutput
from ci_controller.executors.docker.project_tar import message_tar
from ci_controller.executors.shared.missing_output import missing_bytes

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SILENCE_SECONDS = 3.0
"""The init process sends something every second. When nothing comes for so long, somebody else who
is attached and does not read may be holding everything up, and the spool is looked at."""

_ANSWER_SECONDS = 3
"""Time-out of requests while we are attached."""

_LOOKS = 5
_ATTACH_SECONDS = 3
_ATTACH_AGAIN_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

_LONGEST_REPLACEMENT = 1 << 20

_KILLED = "the container's init process was killed, or the machine went down"
_NO_OUTPUT = "the container engine does not return the output"


class KeptOutput(Output):
    """The output from `position` on. `attached` was made before the container started. Where one
    may not attach to a container that runs (`may_attach`), its spool is looked at once a second.
    """

    def __init__(
        self,
        engine: DockerEngine,
        container_id: str,
        key: bytes,
        position: int,
        attached: AttachedOutput | None = None,
        may_attach: bool = True,
    ) -> None:
        self._engine = engine
        self._container = container_id
        self._key = key
        self._position = position
        self._attached = attached
        self._parser = FrameParser(key)
        self._frames: deque[Frame] = deque()
        self._spooled = 0
        """What is before this, and was not read yet, is read from the spool."""
        self._final: OutputEnd | None = None
        """The end, as it was told; what is before it may still have to be read."""
        self._replaced = 0
        self._end: OutputEnd | None = None
        self._closed = threading.Event()
        self._pause = _PAUSE_SECONDS
        self._is_receiving = False
        self._has_looked = False
        self._attach_at = 0.0 if may_attach else math.inf
        self._client: docker.APIClient | None = None
        """Of the thread that reads."""
        self._ack_client: docker.APIClient | None = None
        """Of the thread that acknowledges."""
        self._clients: list[docker.APIClient] = []
        self._clients_lock = threading.Lock()
        if attached is not None:
            attached.set_timeout(_SILENCE_SECONDS)

    @property
    @override
    def end(self) -> OutputEnd | None:
        return self._end

    @override
    def read(self) -> bytes:
        try:
            while self._end is None and not self._closed.is_set():
                if piece := self._advance():
                    self._position += len(piece)
                    self._pause = _PAUSE_SECONDS
                    return piece
        except APIError as error:
            if not self._closed.is_set():
                raise EngineFailingError(f"{_NO_OUTPUT}: {explanation(error)}") from error
        except RunnerError:
            if not self._closed.is_set():
                raise
        return b""

    @override
    def stored(self, offset: int) -> None:
        with translated():
            if self._ack_client is None:
                self._ack_client = self._new_client()
            name = protocol.stored_message(offset)
            try:
                self._ack_client.put_archive(
                    self._container, f"/{protocol.MESSAGES}", message_tar(name)
                )
            except NotFound as error:
                raise WorkloadLostError from error
            except APIError as error:
                if _was_taken(name, error):
                    return
                raise EngineFailingError(f"{_NO_OUTPUT}: {explanation(error)}") from error

    def close_idle_connection(self) -> None:
        """Give up the connection unless it is being read; any thread. Docker cannot end a container
        while somebody is attached who does not read. What was in it is read from the spool.
        """
        attached = self._attached
        if attached is not None and not self._is_receiving:
            attached.close()

    @override
    def close(self) -> None:
        with self._clients_lock:
            self._closed.set()
            clients, self._clients = self._clients, []
        if self._attached is not None:
            self._attached.close()
        for client in clients:
            client.close()

    def _advance(self) -> bytes:
        """The next bytes, or nothing yet."""
        if self._position < self._spooled:
            return self._from_spool()
        if self._frames:
            return self._take(self._frames.popleft())
        if self._final is not None:
            self._finish(self._final)
        elif self._attached is None:
            self._connect()
        else:
            self._receive(self._attached)
        return b""

    def _receive(self, attached: AttachedOutput) -> None:
        self._is_receiving = True
        try:
            content = attached.read()
        except TimeoutError:
            self._look()
            return
        except EngineUnavailableError as error:
            logger.debug("the output of %s was interrupted: %s", self._container, error)
            content = b""
        finally:
            self._is_receiving = False
        if content:
            self._frames.extend(self._parser.feed(content))
            return
        self._detach()

    def _detach(self) -> None:
        if self._attached is not None:
            self._attached.close()
        self._attached, self._parser = None, FrameParser(self._key)

    def _take(self, frame: Frame) -> bytes:
        if frame.kind is FrameKind.REFUSED:
            state = self._state()
            error = 0 if state is None else state.refusal
            raise _refused(error, frame.payload.decode(errors="replace"))
        if frame.offset > self._position:
            # What is before it did not come this way.
            self._frames.appendleft(frame)
            self._spooled = frame.offset
            return b""
        if frame.kind is FrameKind.END:
            told = protocol.parse_end(frame.payload)
            self._final = self._recorded_end(frame.offset, told.exit_code, told.lost)
        return frame.payload[self._position - frame.offset :] if _is_data(frame) else b""

    def _connect(self) -> None:
        """Attach again, after what is in the spool; or, when the container has exited, read what is
        left.
        """
        with translated():
            workload = self._workload()
        if workload.state is WorkloadState.EXITED:
            with translated():
                self._read_stopped(workload.exit_code)
        elif not self._has_looked or time.monotonic() < self._attach_at:
            if self._has_looked:
                self._wait()
            self._has_looked = True
            self._look()
        else:
            with translated():
                self._attach()
            self._look()

    def _attach(self) -> None:
        """Docker does not let anybody attach while somebody else is who does not read, such as a
        server that was stopped: then the spool is looked at, and this is tried again later.
        """
        self._attach_at = time.monotonic() + self._pause
        try:
            self._attached = AttachedOutput(self._own_client(), self._container, _ATTACH_SECONDS)
            self._attached.set_timeout(_SILENCE_SECONDS)
        except requests.Timeout:
            self._attach_at = time.monotonic() + _ATTACH_AGAIN_SECONDS
        except APIError as error:
            logger.debug("cannot attach to %s: %s", self._container, error)  # it exits, perhaps

    def _wait(self) -> None:
        self._closed.wait(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _look(self) -> None:
        """At the spool: whether it has more than came by frames."""
        with translated():
            state = self._state()
            if state is None:
                return
            if state.phase is Phase.REFUSED:
                raise _refused(state.refusal)
            self._spooled = state.written
            if state.phase is Phase.ENDED:
                self._final = self._recorded_end(state.written, state.exit_code, state.lost)

    def _read_stopped(self, exit_code: int | None) -> None:
        state = self._state()
        if state is not None and state.phase is Phase.REFUSED:
            raise _refused(state.refusal)
        if state is None and exit_code == protocol.CANNOT_START:
            raise _refused(errno.EPERM, f"it cannot use its directory /{protocol.DIRECTORY}")
        written = self._position if state is None else state.written
        self._spooled = written
        if state is not None and state.phase is Phase.ENDED:
            self._final = self._recorded_end(written, state.exit_code, state.lost)
        else:
            self._final = OutputEnd(written, None, _KILLED)

    def _recorded_end(self, size: int, exit_code: int, lost: int) -> OutputEnd:
        why = "the container engine's disk was full or failed" if lost else ""
        return OutputEnd(size, lost, why, exit_code)

    def _finish(self, final: OutputEnd) -> None:
        lost = None if final.lost is None else final.lost + self._replaced
        self._end = OutputEnd(final.size, lost, final.why, final.exit_code)

    def _from_spool(self) -> bytes:
        within = self._position % protocol.SLOT_BYTES
        wanted = min(self._spooled - self._position, protocol.SLOT_BYTES - within)
        with translated():
            state = self._state()
            if state is not None and state.released > self._position:
                return self._replacement(min(state.released, self._spooled) - self._position)
            path = protocol.slot_path(self._position)
            content = self._read_file(path, within, wanted)
        if content:
            return content
        # A stopped container has all that it will ever have; of a running one it may come yet.
        with translated():
            if self._workload().state is WorkloadState.EXITED:
                return self._replacement(wanted)
        self._wait()
        return b""

    def _replacement(self, size: int) -> bytes:
        size = min(size, _LONGEST_REPLACEMENT)
        self._replaced += size
        return missing_bytes(size)

    def _state(self) -> protocol.State | None:
        for _ in range(_LOOKS):
            content = self._read_file(protocol.STATE)
            if content is None or (state := protocol.parse_state(content)) is not None:
                return None if content is None else state
        return None

    def _read_file(self, path: str, skip: int = 0, limit: int = 1 << 20) -> bytes | None:
        """Bytes of a file of the init process; `None` also when it can never be read, for example
        because the job could write to `/` and put something else in its place.
        """
        for look in range(_LOOKS):
            try:
                return self._answer(
                    lambda client: read_file(client, self._container, path, skip, limit)
                )
            except ConnectionError:  # Podman's answers are short now and then
                if look == _LOOKS - 1:
                    raise
            except APIError as error:
                if not is_unreadable(error):
                    raise
                logger.warning("the output in %s: %s", self._container[:12], explanation(error))
                break
        return None

    def _workload(self) -> Workload:
        try:
            facts: dict[str, Any] = self._answer(
                lambda client: client.inspect_container(self._container)
            )
        except NotFound as error:
            raise WorkloadLostError from error
        return container.from_inspect(facts)

    def _answer(self, ask: Callable[[docker.APIClient], Result]) -> Result:
        """Ask the engine about the container. It does not answer while the container ends and an
        attached reader does not read, which may be us: after a short time-out we detach.
        """
        client = self._own_client()
        if self._attached is not None:
            patience, client.timeout = client.timeout, _ANSWER_SECONDS
            try:
                return ask(client)
            except requests.Timeout:
                logger.debug("no answer about %s: no longer attached", self._container)
                self._detach()
            finally:
                client.timeout = patience
        return ask(client)

    def _own_client(self) -> docker.APIClient:
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> docker.APIClient:
        client = self._engine.new_client()
        with self._clients_lock:
            if self._closed.is_set():
                client.close()
                raise EngineUnavailableError("the output was closed")
            self._clients.append(client)
        return client


def _is_data(frame: Frame) -> bool:
    return frame.kind is FrameKind.DATA


def _refused(error: int, why: str = "") -> LaunchFailedError:
    text = f"the container's init process did not start the command: {why or os.strerror(error)}"
    if error in (errno.ENOSPC, errno.EDQUOT):
        text += (
            f". The container engine's disk needs {protocol.SPOOL_BYTES >> 20} MiB for the output "
            "of each running job; free space there"
        )
    return LaunchFailedError(text)


def _was_taken(message: str, error: APIError) -> bool:
    """Whether the engine failed because the init process was faster: it takes a message as soon as
    the file is there, and the engine then finds none to set owner, mode or times of.
    """
    place = re.escape(f"/{protocol.MESSAGES}/{message}")
    return bool(re.search(rf"\b(?!open|mkdir)\w+ {place}: no such file", explanation(error)))
