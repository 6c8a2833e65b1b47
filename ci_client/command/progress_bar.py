"""A progress bar: one line on stderr that is rewritten, and gone at the end."""

import time

from ci_client.command.terminal_line import TerminalLine

_BAR = 30
"""Characters between the brackets."""
_REDRAW_SECONDS = 0.1


class ProgressBar:
    """On a terminal; whoever makes one has looked. Other output needs it removed first."""

    def __init__(self) -> None:
        self._line = TerminalLine(hides_cursor=True)
        self._drawn_at = float("-inf")

    def draw(self, name: str, done: int, total: int, figures: str) -> None:
        """Show how much is done. What comes too soon after the last time is not drawn, unless all
        is done.
        """
        now = time.monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS and done < total and self._line.is_shown:
            return
        self._drawn_at = now
        filled = _BAR if done >= total else _BAR * done // total
        self._line.draw(f"{name} [{'#' * filled}{'-' * (_BAR - filled)}] {figures}")

    def remove(self) -> None:
        """Take it away; it may come back."""
        self._line.remove()
