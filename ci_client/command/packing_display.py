"""What people read of a project on its way to the server: what is not sent, and how far it is."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ci_client.command.progress_bar import ProgressBar
from ci_client.command.report_display import size_text
from ci_client.command.terminal_line import can_draw
from ci_client.library.upload import OnProgress
from ci_client.packing.project_files import Why
from ci_client.packing.project_zip import ProjectZip

_NAMED_PER_KIND = 3
_SMALL_UPLOAD = 1024 * 1024
"""Bytes that are gone before a progress bar could be drawn."""


def left_out_line(project: ProjectZip) -> str | None:
    """What was not sent and may be missed; None if nothing was."""
    kinds = [f"{why}: {_some(names)}" for why, names in project.left_out.items()]
    if not kinds:
        return None
    hint = " (--include PATTERN sends hidden ones)" if Why.HIDDEN in project.left_out else ""
    return f"Not sent: {'; '.join(kinds)}{hint}"


def _some(names: Sequence[str]) -> str:
    # Names are shown as Python would, if they hold what could garble a terminal.
    shown = [name if name.isprintable() else repr(name) for name in names[:_NAMED_PER_KIND]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


@contextmanager
def upload_bar(size: int) -> Iterator[OnProgress]:
    """A progress bar on stderr, if that is a terminal and there is something to wait for."""
    if size < _SMALL_UPLOAD or not can_draw():
        yield lambda sent, total: None
        return
    bar, start = ProgressBar(), time.monotonic()

    def draw(sent: int, total: int) -> None:
        pace = sent / max(time.monotonic() - start, 0.001)
        figures = f"{size_text(sent)} of {size_text(total)}, {size_text(round(pace))}/s"
        bar.draw("uploading", sent, total, figures)

    try:
        draw(0, size)
        yield draw
    finally:
        bar.remove()
