"""A progress bar: one line on stderr that is rewritten, and gone at the end."""

import os
import shutil
import sys
import time
import unicodedata

_BAR = 30
"""Characters between the brackets."""
_REDRAW_SECONDS = 0.1
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ERASE = "\r\x1b[2K"


class ProgressBar:
    """On a terminal; whoever makes one has looked. Other output needs it removed first."""

    def __init__(self) -> None:
        self._is_shown = False
        self._drawn_at = float("-inf")

    def draw(self, name: str, done: int, total: int, figures: str) -> None:
        """Show how much is done. What comes too soon after the last time is not drawn, unless all
        is done.
        """
        now = time.monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS and done < total:
            return
        self._drawn_at = now
        filled = _BAR if done >= total else _BAR * done // total
        line = f"{name} [{'#' * filled}{'-' * (_BAR - filled)}] {figures}"
        start = _ERASE if self._is_shown else _HIDE_CURSOR
        self._is_shown = True
        _write(start + _cut(line, shutil.get_terminal_size().columns - 1))

    def remove(self) -> None:
        """Take it away; it may come back."""
        if self._is_shown:
            self._is_shown = False
            self._drawn_at = float("-inf")
            _write(_ERASE + _SHOW_CURSOR)


def can_draw() -> bool:
    """Whether stderr is a terminal that can rewrite a line."""
    return os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


def _write(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _cut(text: str, cells: int) -> str:
    """The text, shortened to what has room in so many cells of a terminal."""
    used = 0
    for at, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > cells:
            return text[:at]
    return text
