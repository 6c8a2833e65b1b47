"""The line in the log of a job whose command its image does not have.

What executors say of it names the program of theirs that could not run it. People who search for
the reason, and programs, know this line.
"""

import re

_NOT_FOUND = 127
_LONGEST = 8 << 10
_COMPLAINT = re.compile(rb"(?:ci-init: )?cannot run .*No such file or directory.*\n", re.DOTALL)
"""What an executor writes in place of the output of a command that there is not."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def may_be_missing(exit_code: int | None, size: int) -> bool:
    """Whether a command may not have been found, by its exit code and the size of its output."""
    return exit_code == _NOT_FOUND and 0 < size <= _LONGEST


def missing_command_line(command: str, output: bytes) -> bytes:
    """The line, when this whole output says that the command was not found; else nothing."""
    if not _COMPLAINT.fullmatch(output):
        return b""
    return f"command not found in PATH: {_CONTROLS.sub(' ', command)}\n".encode(errors="replace")
