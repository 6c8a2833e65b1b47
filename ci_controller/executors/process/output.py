"""What a command wrote, as its supervisor keeps it (port Output)."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from typing_extensions import override

from ci_common.errors import WorkloadLostError
from ci_common.ports.workloads import Output, OutputEnd
from ci_controller.executors.process.state import WorkloadDirectories, is_process, parsed
from ci_controller.executors.process.supervisor import (
    SEGMENT_BYTES,
    read_counter,
    segment,
    write_counter,
)
from ci_controller.executors.shared.missing_output import missing_bytes

_READ_BYTES = 1 << 18
_SHORTEST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.02
_LOOK_SECONDS = 0.2
"""How often to check that the supervisor is alive."""

_KILLED = "the process that kept the output was killed, or the machine went down"
_NOT_TAKEN = "they could not be written to disk"


def open_output(directories: WorkloadDirectories, skip: int) -> Output:
    """The output from byte `skip` on. Raises WorkloadLostError when there is no such workload."""
    try:
        if (directories.state / "written").exists():
            return FileOutput(directories.state, skip)
        return PlainOutput(directories, skip)
    except FileNotFoundError as error:
        raise WorkloadLostError from error


class FileOutput(Output):
    """Follows a supervisor's spool; see there for the files."""

    def __init__(self, state: Path, skip: int) -> None:
        self._state = _StateDirectory(state)
        self._position = skip
        self._replaced = 0
        self._end: OutputEnd | None = None
        self._look_at = 0.0
        self._closed = threading.Event()
        self._lock = threading.Lock()

    @property
    @override
    def end(self) -> OutputEnd | None:
        return self._end

    @override
    def read(self) -> bytes:
        pause = _SHORTEST_PAUSE_SECONDS
        while self._end is None and not self._closed.is_set():
            with self._lock:
                content = b"" if self._closed.is_set() else self._next()
            if content:
                return content
            if self._end is None:
                # Another process writes the files: there is nothing to be woken by.
                self._closed.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        return b""

    @override
    def stored(self, offset: int) -> None:
        with self._lock:
            if not self._closed.is_set():
                self._state.tell_stored(offset)

    @override
    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._state.close()

    def _next(self) -> bytes:
        if content := self._from_spool():
            return content
        final = self._final()
        if final is None:
            return b""
        # Look again: what was written just before the end is in the spool now.
        if content := self._from_spool():
            return content
        lost = None if final.lost is None else final.lost + self._replaced
        self._end = OutputEnd(final.size, lost, final.why, final.exit_code)
        return b""

    def _from_spool(self) -> bytes:
        number, within = divmod(self._position, SEGMENT_BYTES)
        there = min(self._state.written() - self._position, SEGMENT_BYTES - within)
        if there <= 0:
            return b""
        content = self._state.read_segment(number, within, min(there, _READ_BYTES))
        content = content or self._replacement(there)
        self._position += len(content)
        return content

    def _replacement(self, size: int) -> bytes:
        """A line for bytes that nobody has, as long as they were, so that offsets stay true."""
        if self._state.is_removed():
            raise WorkloadLostError
        self._replaced += size
        return missing_bytes(size)

    def _final(self) -> OutputEnd | None:
        """The end, if it was recorded, or never will be."""
        ended = self._state.record("ended.json")
        if ended is None and not self._supervisor_lives():
            ended = self._state.record("ended.json")  # perhaps its last act
            if ended is None and self._state.is_removed():
                raise WorkloadLostError
            if ended is None:
                return OutputEnd(self._state.written(), None, _KILLED)
        if ended is None:
            return None
        lost = ended["lost"]
        return OutputEnd(ended["size"], lost, _NOT_TAKEN if lost else "", ended["exit_code"])

    def _supervisor_lives(self) -> bool:
        if time.monotonic() < self._look_at:
            return True
        supervisor = self._state.record("supervisor.json")
        if supervisor is None or not is_process(supervisor["pid"], supervisor["start"]):
            return False
        self._look_at = time.monotonic() + _LOOK_SECONDS
        return True


class _StateDirectory:
    """A state directory, held open: a later attempt's, in the same place, is a different one."""

    def __init__(self, path: Path) -> None:
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._open = {self._directory}
        self._segment, self._number = -1, -1
        self._count = 0
        try:
            self._written = self._file("written", os.O_RDONLY)
            self._stored = self._file("stored", os.O_WRONLY)
        except BaseException:
            self.close()
            raise

    def written(self) -> int:
        """How many bytes of output there are, or were."""
        count = read_counter(self._written)
        if count is not None:
            self._count = count
        return self._count

    def tell_stored(self, offset: int) -> None:
        """Let the supervisor delete what is before this."""
        write_counter(self._stored, offset)

    def read_segment(self, number: int, start: int, most: int) -> bytes:
        """Bytes of a segment; empty if it was deleted or is shorter."""
        if self._number != number:
            if self._segment >= 0:
                self._open.discard(self._segment)
                os.close(self._segment)
                self._segment = self._number = -1
            try:
                self._segment = self._file(segment(number), os.O_RDONLY)
            except FileNotFoundError:
                return b""
            self._number = number
        return os.pread(self._segment, most, start)

    def record(self, name: str) -> dict[str, Any] | None:
        """What the JSON file of this name says; `None` when there is none."""
        try:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=self._directory)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return parsed(file.read())

    def is_removed(self) -> bool:
        """Whether the directory was removed."""
        return self.record("request.json") is None

    def close(self) -> None:
        """Safe to repeat."""
        while self._open:
            os.close(self._open.pop())

    def _file(self, name: str, flags: int) -> int:
        descriptor = os.open(name, flags, dir_fd=self._directory)
        self._open.add(descriptor)
        return descriptor


class PlainOutput(Output):
    """The output of a command that an older version started, which writes straight to a file.
    Reads on until the command has ended and everything was read.
    """

    def __init__(self, directories: WorkloadDirectories, skip: int) -> None:
        self._directories = directories
        self._file = (directories.state / "output").open("rb", buffering=0)
        self._file.seek(skip)
        self._end: OutputEnd | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    @property
    @override
    def end(self) -> OutputEnd | None:
        return self._end

    @override
    def read(self) -> bytes:
        while not self._closed.is_set():
            ended = self._directories.has_ended  # first: what was written before is then read
            with self._lock:
                if self._file.closed:
                    break
                content = self._file.read(_READ_BYTES)
                if ended and not content:
                    self._end = self._at_end(os.fstat(self._file.fileno()).st_size)
            if content or ended:
                return content
            self._closed.wait(_LONGEST_PAUSE_SECONDS)
        return b""

    @override
    def stored(self, offset: int) -> None:
        """Nothing: the file is kept as a whole."""

    @override
    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._file.close()

    def _at_end(self, size: int) -> OutputEnd:
        workload = self._directories.workload()
        if workload is None or workload.exit_code is None:
            return OutputEnd(size, None, _KILLED)
        return OutputEnd(size, exit_code=workload.exit_code)
