"""SIGTERM: a run stops between two iterations, and keeps what it has."""

import signal
from types import FrameType


class StopRequest:
    """Whether the run was asked to stop."""

    def __init__(self) -> None:
        self.is_set = False

    def listen(self) -> None:
        """Take SIGTERM as a request from now on."""
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
