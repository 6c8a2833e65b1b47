"""The line at the end of a job's log that says why it could not be run to its end."""

import re

from ci_common.job import JobStatus, Outcome, Reason
from ci_common.ports.logs import LogAppender

_START = "ci: the job failed: "
_MOST_CHARACTERS = 2000
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def failure_line(outcome: Outcome) -> bytes:
    """The line, with its line end; empty for a command that ended by itself, was cancelled, or was
    ended for going beyond a limit of its own: the log of such a job is what it wrote.

    The outcome's message is as it may be shown: secrets in it are masked already.
    """
    if outcome.status is not JobStatus.FAILED or outcome.reason is Reason.TIMEOUT:
        return b""
    message = _CONTROLS.sub(" ", outcome.message).strip()
    if len(message) > _MOST_CHARACTERS:
        message = f"{message[:_MOST_CHARACTERS]}..."
    return f"{_START}{outcome.reason.value}: {message}\n".encode(errors="replace")


def write_failure_line(log: LogAppender, outcome: Outcome, start: int = 0) -> None:
    """Write the line, unless it is there: another process may have come this far. What is before
    `start` in the log is none of it.
    """
    if line := failure_line(outcome):
        begin = max(start, log.size - len(line) - 1)
        written = log.read(begin, log.size - begin)
        log.append(missing_part(line, written, at_line_start=log.at_line_start))


def missing_part(line: bytes, written: bytes, *, at_line_start: bool) -> bytes:
    """What is still to be written of the line after `written`, the end of the log (a byte more than
    the line is enough of it): nothing, the rest of a line that a crash cut off, or all of it, on a
    line of its own.
    """
    for size in range(len(line), len(_START) - 1, -1):
        if written.endswith(line[:size]) and written[-size - 1 : -size] in (b"", b"\n"):
            return line[size:]
    return line if at_line_start else b"\n" + line
