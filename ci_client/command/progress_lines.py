"""A job's `::progress {"current":…,"total":…,"phase":…}` lines: found in its log, and drawn."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_client.command.report_display import printable
from ci_client.command.watching import LogOutput

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PREFIX = b"::progress "
LONGEST = 1000
"""Bytes of a line; what is longer is no progress."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a phase is."""

    current: int
    total: int
    phase: str


class ProgressLines:
    """Takes the progress out of a log that arrives in pieces of any size.

    Only the beginning of a line that may yet turn out to be progress is kept back.
    """

    def __init__(self) -> None:
        self._held = b""
        self._in_line = False
        """Whether a part of the current line was handed on."""

    def feed(self, content: bytes) -> tuple[bytes, list[Step]]:
        """What of the log is to be shown now, and the steps that were told."""
        *lines, last = (self._held + content).split(b"\n")
        shown: list[bytes] = []
        steps: list[Step] = []
        for line in lines:
            step = None if self._in_line else read_step(line)
            if step is None:
                shown.append(line + b"\n")
            else:
                steps.append(step)
            self._in_line = False
        self._held = last if not self._in_line and _may_be_progress(last) else b""
        if last and not self._held:
            shown.append(last)
            self._in_line = True
        return b"".join(shown), steps

    def rest(self) -> bytes:
        """What is still kept back, at the end of the log."""
        held, self._held = self._held, b""
        self._in_line |= bool(held)
        return held


def _may_be_progress(start: bytes) -> bool:
    return (start.startswith(PREFIX) and len(start) <= LONGEST) or PREFIX.startswith(start)


def read_step(line: bytes) -> Step | None:
    """The progress that a line tells; None if it does not."""
    if not line.startswith(PREFIX) or len(line) > LONGEST:
        return None
    try:
        told = json.loads(line[len(PREFIX) :])
        current, total, phase = told["current"], told["total"], told["phase"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(current) is not int or type(total) is not int or not isinstance(phase, str):
        return None
    return Step(current, total, printable(phase))


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

    def write(self, content: bytes) -> None:
        """Write what is to be shown, and draw the last step told."""
        if not self._draws:
            super().write(content)
            return
        shown, steps = self._lines.feed(content)
        self._pass_on(shown if self._hides else content)
        if steps and self._ends_line:
            self._bar.draw(steps[-1])

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
        self._shown: tuple[Progress, TaskID] | None = None

    def draw(self, step: Step) -> None:
        if self._shown is None:
            self._shown = _new_bar(step)
        bar, task = self._shown
        bar.update(task, completed=step.current, total=step.total, description=step.phase)
        bar.refresh()

    def remove(self) -> None:
        if self._shown is not None:
            self._shown[0].stop()
            self._shown = None


def _new_bar(step: Step) -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    # Not refreshed in the background: the log is written to the same terminal.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    task = bar.add_task(step.phase, completed=step.current, total=step.total)
    bar.start()
    return bar, task
