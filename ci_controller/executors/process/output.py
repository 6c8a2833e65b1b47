"""A command's output file, followed (port Output)."""

import threading

from ci_controller.executors.process.state import WorkloadFiles

_READ_BYTES = 1 << 18
_POLL_SECONDS = 0.02


class FileOutput:
    """Reads on until the command has ended and all it wrote was read."""

    def __init__(self, files: WorkloadFiles, skip: int) -> None:
        self._files = files
        self._file = files.output.open("rb", buffering=0)
        self._file.seek(skip)
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """See Output."""
        while not self._closed.is_set():
            ended = self._files.has_ended  # first: what was written before is then read
            with self._lock:
                content = b"" if self._file.closed else self._file.read(_READ_BYTES)
            if content or ended:
                return content
            self._closed.wait(_POLL_SECONDS)
        return b""

    def close(self) -> None:
        """See Output."""
        self._closed.set()
        with self._lock:
            self._file.close()
