"""Progress: a bar on a terminal, lines for machines elsewhere, nothing for a library."""

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Protocol, TextIO

BAR_WIDTH = 30
INTERVAL_SECONDS = 0.1
PREFIX = "::progress "
INITIALIZED_PREFIX = "::initialized "


class Progress(Protocol):
    """Told how far a phase is; called from one thread, as often as it suits the caller."""

    def update(self, phase: str, current: int, total: int) -> None:
        """`current` of `total` steps of a phase are done; the last call has them equal."""
        ...


class Silent:
    """Says nothing."""

    def update(self, phase: str, current: int, total: int) -> None:
        """Nothing."""


class _Reporter(ABC):
    """Lets through the first and last of each phase, and not too many in between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: tuple[str, int] | None = None
        self._last = 0.0

    def update(self, phase: str, current: int, total: int) -> None:
        """Report, if it is time to."""
        now = time.monotonic()
        same_phase = self._said is not None and self._said[0] == phase
        if same_phase and current < total and now - self._last < INTERVAL_SECONDS:
            return
        if self._said == (phase, current):
            return
        self._said, self._last = (phase, current), now
        self._stream.write(self.line(phase, current, total))
        self._stream.flush()

    @abstractmethod
    def line(self, phase: str, current: int, total: int) -> str:
        """The text of one report."""


class Lines(_Reporter):
    """One `::progress {"current":…,"total":…,"phase":…}` a line."""

    def line(self, phase: str, current: int, total: int) -> str:
        """The text of one report."""
        content = {"current": current, "total": total, "phase": phase}
        return f"{PREFIX}{json.dumps(content, separators=(',', ':'))}\n"


class Bar(_Reporter):
    """A bar that is drawn over itself; a phase that is done keeps its line."""

    def line(self, phase: str, current: int, total: int) -> str:
        """The text of one report."""
        filled = BAR_WIDTH * current // max(1, total)
        bar = "█" * filled + "░" * (BAR_WIDTH - filled)
        end = "\n" if current >= total else ""
        return f"\r{phase:<10} {bar} {current:,}/{total:,}\x1b[K{end}"


def for_stream(stream: TextIO | None = None) -> Progress:
    """A bar when the stream (standard error) is a terminal, lines when it is not."""
    stream = sys.stderr if stream is None else stream
    return Bar(stream) if stream.isatty() else Lines(stream)
