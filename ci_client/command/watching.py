"""A job's events on the terminal: the log on stdout, byte by byte, all else on stderr."""

import io
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import override

from ci_client.command import exit_codes
from ci_client.command.color import ColorChoice
from ci_client.command.display import result_line, say
from ci_client.command.hints import SUBMIT, TABLE, LogTail, hint
from ci_client.command.painting import color_of
from ci_client.command.report_display import coverage_line, remarks, short_report
from ci_client.command.status_line import StatusLine
from ci_client.command.terminal_line import can_draw
from ci_client.library.sse_reader import log_bytes
from ci_common.job_states import JobStatus

_SHOWN_STATUS = {
    JobStatus.QUEUED.value: "Queued",
    JobStatus.INITIALIZING.value: "Starting",
    JobStatus.RUNNING.value: "Running",
}


class LogOutput:
    """Standard output, for bytes; and what the job is at, on stderr: on a terminal in a line that
    is rewritten, until there is output on the same terminal, and otherwise in lines.
    """

    def __init__(self, color: ColorChoice = ColorChoice.AUTO) -> None:
        """`color` is what the user chose for results."""
        self.color = color
        self._ends_line = True
        self._line = StatusLine() if can_draw() else None
        self._shares_terminal = self._line is not None and sys.stdout.isatty()
        self._status = ""
        self._wait_reason: str | None = None

    def status(self, event: Mapping[str, Any]) -> None:
        """The job moved, or has another place in the queue."""
        status = str(event.get("status"))
        is_new, self._status = status != self._status, status
        if self._line is None:
            self.finish_line()
            say(f"status: {status}")
            return
        shown = _SHOWN_STATUS.get(status, status)
        if is_new:
            self.finish_line()
            self._line.begin(shown)
        ahead = int(event.get("position") or 1) - 1
        if ahead:
            self._line.show(f"{shown}: {ahead} {'job' if ahead == 1 else 'jobs'} ahead")

    def waiting(self, event: Mapping[str, Any]) -> None:
        """The job waits, for this reason."""
        message, reason = str(event.get("message")), str(event.get("reason"))
        if self._line is not None:
            if not self._shares_terminal or self._ends_line:
                status = _SHOWN_STATUS.get(self._status, "Waiting")
                self._line.show(f"{status}: {message}")
        elif reason != self._wait_reason:
            self.finish_line()
            say(f"waiting: {message}")
        self._wait_reason = reason

    @property
    def is_log_beside(self) -> bool:
        """Whether people see the log where they see messages."""
        return self._shares_terminal

    def hide_status(self) -> None:
        """Until the next status."""
        if self._line is not None:
            self._line.hide()

    def write(self, content: bytes) -> None:
        """Write, and let it be seen at once."""
        if content and self._shares_terminal:
            self.hide_status()
        out = sys.stdout.buffer
        out.write(content)
        out.flush()
        if content:
            self._ends_line = content.endswith(b"\n")

    def event(self, event: dict[str, Any]) -> None:
        """One arrived."""

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._line is not None:
            self._line.close()

    def finish_line(self) -> None:
        """Where both are seen, let a message that follows the log start on its own line."""
        self.hide_status()
        if not self._ends_line and (sys.stdout.isatty() or _is_one_place()):
            say("")
        self._ends_line = True


def _is_one_place() -> bool:
    """Whether stdout and stderr are one file or pipe, as after `2>&1`."""
    try:
        out, err = (os.fstat(stream.fileno()) for stream in (sys.stdout, sys.stderr))
    except io.UnsupportedOperation:  # a stand-in for a stream
        return False
    return out.st_ino != 0 and os.path.samestat(out, err)  # 0: a pipe on Windows


class JsonOutput(LogOutput):
    """Events on standard output, one JSON object per line, in place of the log."""

    def __init__(self, color: ColorChoice = ColorChoice.AUTO) -> None:
        super().__init__(color)
        self._line = None
        self._shares_terminal = False

    @override
    def write(self, content: bytes) -> None:
        """The event says it."""

    @override
    def event(self, event: dict[str, Any]) -> None:
        """Write it, and let it be seen at once."""
        print(json.dumps(event), flush=True)


def show(
    events: Iterable[dict[str, Any]],
    output: LogOutput,
    job_id: str | None,
    since: float | None = None,
    table: str = TABLE,
    command_line: str = SUBMIT,
) -> int:
    """Show a job's events to its end; the exit code its result stands for.

    `job_id` is `None` for one that nobody can ask about later. `since` is when it was submitted
    (monotonic), to tell how long it took. `table` is how the table of its project begins, and
    `command_line` what the user has typed.
    """
    tail = LogTail()
    for event in events:
        output.event(event)
        if event["type"] == "log":
            content = log_bytes(event)
            output.write(content)
            tail.add(content)
        elif event["type"] == "status":
            output.status(event)
        elif event["type"] == "waiting":
            output.waiting(event)
        elif event["type"] == "complete":
            output.finish_line()
            if event.get("tests"):
                say(short_report(event["tests"]))
            if event.get("coverage"):
                say(coverage_line(event["coverage"]))
            for remark in remarks(event):
                say(remark)
            seconds = None if since is None else time.monotonic() - since
            is_told = output.is_log_beside and _is_told(event, tail.text)
            say(result_line(event, job_id, seconds, is_told), color_of(event), output.color)
            if advice := hint(event, tail.text, table, command_line):
                say(advice)
            return exit_codes.of_result(event)
    raise AssertionError("a job's events end with `complete`")


def _is_told(result: Mapping[str, Any], log: str) -> bool:
    """Whether the log ends with the line in which the server says why it could not run the job."""
    message = " ".join(str(result.get("message") or "").split())
    last = log.rstrip("\n").rpartition("\n")[2]
    return bool(message) and last == f"ci: the job failed: {result.get('reason')}: {message}"
