"""What people read: one-line messages on stderr, and tables."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

from ci_client.command.color import ColorChoice
from ci_client.command.exit_codes import has_wrong_image, known_reason
from ci_client.command.painting import Color, color_of, painted
from ci_client.command.report_display import (
    coverage_line,
    full_report,
    printable,
    size_text,
    totals,
)
from ci_client.command.terminal_line import above_line
from ci_common.job_states import JobStatus, Reason

SHORT_ID = 8
"""Characters of an id that people are shown."""
_JOB_FIELDS = (
    ("job_id", "Job"),
    ("name", "Name"),
    ("status", "Status"),
    ("waiting", "Waiting"),
    ("success", "Success"),
    ("exit_code", "Exit code"),
    ("reason", "Reason"),
    ("message", "Message"),
    ("command", "Command"),
    ("submit_time", "Submitted"),
    ("start_time", "Started"),
    ("end_time", "Ended"),
    ("log_size", "Log bytes"),
)


def say(message: str, color: Color | None = None, choice: ColorChoice = ColorChoice.AUTO) -> None:
    """Tell people something. Never on stdout: that is the log's."""
    # A server's message may repeat what some job, or somebody else, chose.
    harmless = "\n".join(map(printable, message.split("\n")))
    try:
        with above_line():
            print(painted(harmless, color, sys.stderr, choice), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:  # such as a full disk: what was to be said does not change what happened
        discard(sys.stderr)


def shown_id(job_id: str, stream: TextIO) -> str:
    """The id as it is written there: as much of it as people need, if it is a terminal."""
    return job_id[:SHORT_ID] if stream.isatty() else job_id


def discard(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, instead of failing once more at exit."""
    with suppress(OSError, ValueError):  # where it is no file, there is nothing to do
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def result_line(
    result: Mapping[str, Any],
    job_id: str | None,
    seconds: float | None = None,
    is_told: bool = False,
) -> str:
    """How a job ended, in one line, and where to read more if it did not pass: nowhere, if there is
    no `job_id`. With `is_told` without the message, which people have just read.
    """
    verdict = _verdict(result, is_told)
    says_how_long = known_reason(result) is Reason.TIMEOUT
    if seconds is not None and not says_how_long:
        # After the first words: at the end of a message it would belong to the message's.
        first, colon, message = verdict.partition(":")
        verdict = f"{first} in {duration_text(seconds)}{colon}{message}"
    if result.get("success") is True:
        return f"✓ {verdict}"
    if job_id is None:
        return f"✗ {verdict}"
    return f"✗ {verdict} (ci logs {shown_id(job_id, sys.stderr)})"


def _verdict(result: Mapping[str, Any], is_told: bool) -> str:
    if result.get("success") is True:
        return "passed"
    if result.get("status") == JobStatus.CANCELLED:
        return "cancelled"
    reason = known_reason(result)
    message = str(result.get("message") or result.get("reason") or "no reason given").rstrip(".")
    if reason is Reason.EXIT:
        return f"failed: exit code {result.get('exit_code')}{_signal(message)}"
    if reason is Reason.TIMEOUT:
        return f"timed out: {message.removeprefix('stopped: ')}"
    if is_told and reason is not None:
        message = reason.value
    if reason is not None and reason.is_infrastructure and not has_wrong_image(result):
        return f"infrastructure failure: {message}"
    return f"failed: {message}"


def _signal(message: str) -> str:
    """The signal that a command was killed by, as the message names it after the exit code."""
    named = re.match(r"exited with code \d+( \(SIG[^)]*\))", message)
    return named[1] if named else ""


def duration_text(seconds: float) -> str:
    """How long something took, for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def duration_of(job: Mapping[str, Any]) -> float | None:
    """Seconds from the start of a finished job to its end, if it ever started."""
    from ci_common.job import parse_time

    try:
        start, end = parse_time(job.get("start_time")), parse_time(job.get("end_time"))
    except (TypeError, ValueError):
        return None
    return (end - start).total_seconds() if start and end else None


def job_table(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Jobs as a table. Lines are as long as they must be: ids are for copying."""
    from ci_client.command.job_lines import branch_of, commit_of, project_of

    rows = [
        (
            *("JOB ID", "STATUS", "START TIME", "END TIME", "SUCCESS", "NAME", "REASON"),
            *("USER", "PROJECT", "BRANCH", "COMMIT"),
        )
    ]
    rows += [
        (
            printable(str(job.get("job_id"))),
            printable(str(job.get("status"))),
            _moment(job.get("start_time")),
            _moment(job.get("end_time")),
            _mark(job.get("success")),
            printable(str(job.get("name") or "-")),
            printable(str(job.get("reason") or "-")),
            printable(str(job.get("user") or "-")),
            printable(project_of(job) or "-"),
            printable(branch_of(job) or "-"),
            printable(commit_of(job) or "-"),
        )
        for job in jobs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _moment(moment: Any) -> str:
    if not moment:
        return "-"
    return printable(str(moment)).replace("T", " ").split(".")[0].removesuffix("Z") + "Z"


def _mark(success: Any) -> str:
    return {True: "✓", False: "✗"}.get(success, "-")


def job_details(job: Mapping[str, Any]) -> str:
    """A job, one fact per line, and what its test reports say."""
    shown = {**job, "job_id": shown_id(str(job.get("job_id")), sys.stdout)}
    lines = [
        f"{label + ':':<11} {_value(key, shown)}"
        for key, label in _JOB_FIELDS
        if key in job and (key != "waiting" or job[key])
    ]
    return "\n".join([*lines, *report_lines(job)])


def report_lines(job: Mapping[str, Any]) -> list[str]:
    """What follows the facts of a job: what it repeats, its artifacts, what it used, tests and
    coverage.
    """
    from ci_client.command.used_resources import resource_lines

    lines = []
    if rerun_of := job.get("rerun_of"):
        lines.append(f"Rerun of:   {printable(str(rerun_of))}")
    if size := job.get("artifacts_size"):
        shown = shown_id(str(job.get("job_id")), sys.stdout)
        lines.append(f"Artifacts:  {size_text(size)} (ci artifacts {shown})")
    lines += resource_lines(job)
    if tests := job.get("tests"):
        lines += [f"Tests:      {totals(tests)}", full_report(tests)]
    if coverage := job.get("coverage"):
        lines.append(coverage_line(coverage).replace("Coverage", "Coverage:  ", 1))
    return [line for line in lines if line]


def _value(key: str, job: Mapping[str, Any]) -> str:
    value = job[key]
    if key == "success":
        return painted(_mark(value), color_of(job), sys.stdout)
    if key == "waiting":
        return printable(str(value.get("message")))
    if value is None:
        return "-"
    if isinstance(value, list):
        import shlex

        return printable(shlex.join(map(str, value)))
    return printable(str(value))
