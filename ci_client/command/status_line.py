"""What a job is at, on one line of a terminal, with a spinner and the time."""

import threading
import time

from ci_client.command.report_display import printable
from ci_client.command.terminal_line import TerminalLine

_SPINNER = "|/-\\"
_REDRAW_SECONDS = 0.15


class StatusLine:
    """Redrawn by a thread of its own until it is closed. The cursor stays visible, so that nothing
    has to be put back when the process is killed.
    """

    def __init__(self) -> None:
        self._line = TerminalLine()
        self._text = ""
        self._since = time.monotonic()
        self._turns = 0
        self._is_wanted = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def begin(self, text: str) -> None:
        """Show this, and count the time from now on."""
        self._since = time.monotonic()
        self.show(text)

    def show(self, text: str) -> None:
        """Show this."""
        self._text = printable(text)
        self._is_wanted = True
        self._draw()
        if self._thread is None:
            self._thread = threading.Thread(target=self._redraw, daemon=True)
            self._thread.start()

    def hide(self) -> None:
        """Take it away; it may come back."""
        with self._lock:
            self._is_wanted = False
            self._line.remove()

    def close(self) -> None:
        """Take it away for good."""
        self._closed.set()
        self.hide()

    def _redraw(self) -> None:
        while not self._closed.wait(_REDRAW_SECONDS):
            self._turns += 1
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            if self._is_wanted:
                spinner = _SPINNER[self._turns % len(_SPINNER)]
                clock = _clock(int(time.monotonic() - self._since))
                self._line.draw(f"{spinner} {clock} {self._text}")


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
