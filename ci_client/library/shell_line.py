"""A line for a shell, as the arguments of a command that runs it."""

import re
import shlex

_HARMLESS = re.compile(r"[\w@%+:,./= '\"-]+")
"""All other characters may mean something to the shell that the line is pasted into."""
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_]\w*=")


def pasted_command(line: str) -> str:
    """What to write after `ci submit --` to have the line run in the job. A line with `&&`, `|`,
    `$` and the like is for a shell there: without quotes the user's own would run parts of it.
    """
    if _HARMLESS.fullmatch(line) and not _ASSIGNMENT.match(line) and _has_closed_quotes(line):
        return line
    return f"sh -c {shlex.quote(line)}"


def _has_closed_quotes(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True
