"""A job's output on stdout, from its beginning, also where the connection breaks in between."""

import sys
import time
from collections.abc import Callable
from typing import Any

LONGEST_BREAK_SECONDS = 60.0
"""For how long a server may be gone."""

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class OutputReader:
    """Asks for the output, and again from where it stopped."""

    def __init__(self, open_stream: Callable[[int], Any], write: Callable[[Any], None]) -> None:
        """`open_stream` asks for the output from an offset on; `write` takes its chunks."""
        self._open = open_stream
        self._write = write
        self._offset = 0
        self._has_begun = False

    def run(self) -> None:
        """To the end of the output. Raises grpc.RpcError."""
        import grpc

        pause, broken_at = _FIRST_PAUSE_SECONDS, None
        while True:
            before = self._offset
            try:
                self._read()
            except grpc.RpcError as error:
                if self._offset > before:
                    pause, broken_at = _FIRST_PAUSE_SECONDS, None
                broken_at = broken_at or time.monotonic()
                if not self._may_go_on(error, broken_at):
                    raise
                if pause == _FIRST_PAUSE_SECONDS:
                    print("Reconnecting; the log continues where it stopped.", file=sys.stderr)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return

    def _read(self) -> None:
        stream = self._open(self._offset)
        stream.initial_metadata()
        self._has_begun = True
        for chunk in stream:
            self._write(chunk)
            self._offset += len(chunk.payload)

    def _may_go_on(self, error: Any, broken_at: float) -> bool:
        gone = time.monotonic() - broken_at
        return (
            self._has_begun and error.code().name == "UNAVAILABLE" and gone < LONGEST_BREAK_SECONDS
        )
