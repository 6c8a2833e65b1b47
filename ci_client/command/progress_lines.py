"""A job's progress, drawn as a bar."""

import sys
from typing import TYPE_CHECKING

from typing_extensions import override

from ci_client.command.report_display import printable
from ci_client.command.watching import LogOutput
from ci_common.progress import Progress, ProgressLines

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class ProgressOutput(LogOutput):
    """The log, with a bar on stderr where that is a terminal.

    The lines behind the bar are left out of a log that goes to a terminal as well, and of no
    other.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = ProgressLines()
        self._draws = sys.stderr.isatty()
        self._hides = self._draws and sys.stdout.isatty()
        self._bar = _Bar()

    @override
    def write(self, content: bytes) -> None:
        """Write what is to be shown, and draw the last step told."""
        if not self._draws:
            super().write(content)
            return
        shown, steps = self._lines.feed(content)
        self._pass_on(shown if self._hides else content)
        if steps and self._ends_line:
            self._bar.draw(steps[-1])

    @override
    def finish_line(self) -> None:
        """Take the bar away, and show what was kept back of the log."""
        rest = self._lines.rest()
        self._pass_on(rest if self._hides else b"")
        self._bar.remove()
        super().finish_line()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.remove()

    def _pass_on(self, content: bytes) -> None:
        if content:
            if self._hides:
                self._bar.remove()
            super().write(content)


class _Bar:
    """A progress bar that can be taken away while other things are written, and come back."""

    def __init__(self) -> None:
        self._shown: tuple[Bar, TaskID] | None = None

    def draw(self, step: Progress) -> None:
        if self._shown is None:
            self._shown = _new_bar(step)
        bar, task = self._shown
        bar.update(
            task, completed=step.current, total=step.total, description=printable(step.phase)
        )
        bar.refresh()

    def remove(self) -> None:
        if self._shown is not None:
            self._shown[0].stop()
            self._shown = None


def _new_bar(step: Progress) -> "tuple[Bar, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    # Not refreshed in the background: the log is written to the same terminal.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    task = bar.add_task(printable(step.phase), completed=step.current, total=step.total)
    bar.start()
    return bar, task
