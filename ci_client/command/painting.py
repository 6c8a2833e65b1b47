"""The colours of our own messages and tables: green for what passed, red for what did not."""

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TextIO

from ci_client.command.color import ColorChoice, shows_colors
from ci_common.job_states import JobStatus


class Color(StrEnum):
    """What is painted with: its number in the escape sequence."""

    GREEN = "32"
    RED = "31"
    YELLOW = "33"


def painted(
    text: str, color: Color | None, stream: TextIO, choice: ColorChoice = ColorChoice.AUTO
) -> str:
    """The text, in this colour where the stream shows colours: as the user chose, or else as
    `NO_COLOR` and `FORCE_COLOR` say, or else where it is a terminal that has them.
    """
    return f"\x1b[{color.value}m{text}\x1b[0m" if color and _paints(stream, choice) else text


def color_of(job: Mapping[str, Any]) -> Color | None:
    """The colour of a job's result; `None` while it has none."""
    if job.get("success") is True:
        return Color.GREEN
    if job.get("status") == JobStatus.CANCELLED:
        return Color.YELLOW
    return None if job.get("success") is None else Color.RED


def _paints(stream: TextIO, choice: ColorChoice) -> bool:
    if choice is not ColorChoice.AUTO:
        return choice is ColorChoice.ALWAYS
    if os.environ.get("FORCE_COLOR") and not os.environ.get("NO_COLOR"):
        return True
    return shows_colors(stream)
