"""A job's events on the terminal: the log on stdout, byte by byte, all else on stderr."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from ci_client.command import exit_codes
from ci_client.command.display import result_line, say
from ci_client.command.hints import SUBMIT, TABLE, LogTail, hint
from ci_client.command.report_display import coverage_line, remarks, short_report
from ci_client.library.sse_reader import log_bytes


class LogOutput:
    """Standard output, for bytes."""

    def __init__(self) -> None:
        self._ends_line = True

    def write(self, content: bytes) -> None:
        """Write, and let it be seen at once."""
        out = sys.stdout.buffer
        out.write(content)
        out.flush()
        if content:
            self._ends_line = content.endswith(b"\n")

    def event(self, event: dict[str, Any]) -> None:
        """One arrived."""

    def close(self) -> None:
        """Nothing is to be put back."""

    def finish_line(self) -> None:
        """On a terminal, let a message that follows start on its own line."""
        if not self._ends_line and sys.stdout.isatty():
            say("")
        self._ends_line = True


class JsonOutput(LogOutput):
    """Events on standard output, one JSON object per line, in place of the log."""

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
            output.finish_line()
            say(f"status: {event.get('status')}")
        elif event["type"] == "complete":
            output.finish_line()
            if event.get("tests"):
                say(short_report(event["tests"]))
            if event.get("coverage"):
                say(coverage_line(event["coverage"]))
            for remark in remarks(event):
                say(remark)
            seconds = None if since is None else time.monotonic() - since
            say(result_line(event, job_id, seconds))
            if advice := hint(event, tail.text, table, command_line):
                say(advice)
            return exit_codes.of_result(event)
    raise AssertionError("a job's events end with `complete`")
