"""A job's progress, drawn as a bar."""

import sys

from typing_extensions import override

from ci_client.command.color import ColorChoice
from ci_client.command.progress_bar import ProgressBar
from ci_client.command.report_display import printable
from ci_client.command.terminal_line import can_draw
from ci_client.command.watching import LogOutput
from ci_common.progress import ProgressLines


class ProgressOutput(LogOutput):
    """The log, with a bar on stderr where that is a terminal.

    The lines behind the bar are left out of a log that goes to a terminal as well, and of no
    other.
    """

    def __init__(self, color: ColorChoice = ColorChoice.AUTO) -> None:
        super().__init__(color)
        self._lines = ProgressLines()
        self._draws = can_draw()
        self._hides = self._draws and sys.stdout.isatty()
        self._bar = ProgressBar()

    @override
    def write(self, content: bytes) -> None:
        """Write what is to be shown, and draw the last step told."""
        if not self._draws:
            super().write(content)
            return
        shown, steps = self._lines.feed(content)
        self._pass_on(shown if self._hides else content)
        if steps and self._ends_line:
            step = steps[-1]
            self.hide_status()
            figures = f"{step.current}/{step.total}"
            self._bar.draw(printable(step.phase), step.current, step.total, figures)

    @override
    def finish_line(self) -> None:
        """Take the bar away, and show what was kept back of the log."""
        rest = self._lines.rest()
        self._pass_on(rest if self._hides else b"")
        self._bar.remove()
        super().finish_line()

    @override
    def close(self) -> None:
        """Take the bar away."""
        self._bar.remove()
        super().close()

    def _pass_on(self, content: bytes) -> None:
        if content:
            if self._hides:
                self._bar.remove()
            super().write(content)
