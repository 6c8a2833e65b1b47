"""Whether the job is to write colours: whoever submits it knows where they will be seen."""

import os
import sys
from enum import StrEnum
from typing import TextIO


class ColorChoice(StrEnum):
    """What the option may say."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


_WITH_COLORS = ("WT_SESSION", "TERM_PROGRAM", "TERM", "ANSICON")
"""Set by those terminals of Windows that understand escape sequences without being told to."""


def wants_color(choice: ColorChoice) -> bool | None:
    """What to ask of the server; `None` is nothing.

    By itself it asks for colours where the log goes to a terminal that has them, unless the user
    has switched them off (https://no-color.org).
    """
    if choice is ColorChoice.AUTO:
        choice = ColorChoice.ALWAYS if shows_colors(sys.stdout) else ColorChoice.NEVER
    return True if choice is ColorChoice.ALWAYS else None


def shows_colors(stream: TextIO | None) -> bool:
    """Whether it is a terminal that has colours, and the user has not switched them off."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if os.name == "nt" and not any(name in os.environ for name in _WITH_COLORS):
        return False
    return stream is not None and stream.isatty()
