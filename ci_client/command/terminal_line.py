"""One line on stderr that is rewritten, and gone at the end. Nothing else is written while it is
there: whatever does takes it away first (`above_line`).
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ERASE = "\r\x1b[2K"

_lock = threading.RLock()
"""Of the terminal. Reentrant, because a signal may interrupt whoever has it."""
_shown: "TerminalLine | None" = None


class TerminalLine:
    """On a terminal; whoever makes one has looked. There is one at a time."""

    def __init__(self, *, hides_cursor: bool = False) -> None:
        """With `hides_cursor` it has to be removed whatever happens."""
        self._show_cursor = _SHOW_CURSOR if hides_cursor else ""
        self._hide_cursor = _HIDE_CURSOR if hides_cursor else ""

    @property
    def is_shown(self) -> bool:
        """Whether it is there."""
        return _shown is self

    def draw(self, text: str) -> None:
        """Show this, as far as there is room."""
        global _shown
        with _lock:
            start = _ERASE if _shown is not None else self._hide_cursor
            _shown = self
            _write(start + _cut(text, columns() - 1))

    def remove(self) -> None:
        """Take it away; it may come back."""
        global _shown
        with _lock:
            if _shown is self:
                _shown = None
                _write(_ERASE + self._show_cursor)


def can_draw() -> bool:
    """Whether stderr is a terminal that can rewrite a line."""
    return os.environ.get("TERM") != "dumb" and sys.stderr.isatty()


@contextmanager
def above_line() -> Iterator[bool]:
    """For something that is written meanwhile: the line is taken away, and whoever draws it does so
    again below. Tells whether there was one.
    """
    with _lock:
        was_shown = _shown is not None
        if _shown is not None:
            _shown.remove()
        yield was_shown


def say_at_once(line: str) -> None:
    """Say a line in the midst of something else: not with print, which may be what a signal has
    interrupted.
    """
    with _lock, suppress(OSError):
        start = _ERASE if _shown is not None else "\n"
        os.write(2, f"{start}{line}\n".encode())


def _write(text: str) -> None:
    with suppress(OSError):  # the terminal is gone, and nobody sees what would be drawn
        print(text, end="", file=sys.stderr, flush=True)


def columns() -> int:
    """Of the terminal as it is now: it may have been resized."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        import shutil

        return shutil.get_terminal_size().columns


def _cut(text: str, cells: int) -> str:
    """The text, shortened to what has room in so many cells of a terminal."""
    if text.isascii():
        return text[:cells]
    import unicodedata

    used = 0
    for at, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > cells:
            return text[:at]
    return text
