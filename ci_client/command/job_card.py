"""`ci status` on a terminal: what people ask of a job, a fact on each line."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ci_client.command.display import duration_of, duration_text, report_lines, shown_id
from ci_client.command.job_lines import (
    age_of,
    branch_of,
    commit_of,
    project_of,
    read_time,
    what_happened,
)
from ci_client.command.painting import color_of, painted
from ci_client.command.report_display import printable, remarks, size_text

_SHOWN_ALREADY = ("git.", "project")
"""Labels that have lines of their own begin so."""


def job_card(job: Mapping[str, Any]) -> str:
    """A job, with its result in the words of `ci list`, and times in the local time zone."""
    lines = []
    for label, value in _facts(job):
        if value:
            shown = printable(value)
            if label == "Result":
                shown = painted(shown, color_of(job), sys.stdout)
            lines.append(f"{label + ':':<11} {shown}")
    return "\n".join([*lines, *report_lines(job)])


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels and values; what has no value is not shown."""
    waiting = job.get("waiting")
    is_telling = job.get("success") is not True or bool(remarks(job))
    yield "Job", shown_id(str(job.get("job_id")), sys.stdout)
    yield "Result", what_happened(job)
    yield "Message", _text(job.get("message")) if is_telling else ""
    yield "Waiting", _text(waiting.get("message")) if isinstance(waiting, dict) else ""
    yield "Name", _text(job.get("name"))
    yield "Command", _command(job.get("command"))
    yield "User", _text(job.get("user"))
    yield "Project", project_of(job)
    yield "Branch", branch_of(job)
    yield "Commit", commit_of(job)
    yield "Labels", _labels(job)
    yield "Private", "yes" if job.get("private") is True else ""
    submitted = _local(job.get("submit_time"))
    yield "Submitted", submitted and f"{submitted} ({age_of(job, datetime.now(UTC))} ago)"
    yield "Started", _local(job.get("start_time"))
    yield "Ended", _local(job.get("end_time"))
    yield "Duration", _seconds(duration_of(job))
    yield "Timeout", _seconds(job.get("timeout"))
    yield "Image", _text(job.get("image") or ("image" in job and "the server's default") or None)
    yield "Log", size_text(job["log_size"]) if job.get("log_size") else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _command(words: Any) -> str:
    is_list = isinstance(words, Sequence) and not isinstance(words, str)
    return shlex.join(map(str, words)) if is_list else _text(words)


def _labels(job: Mapping[str, Any]) -> str:
    labels = job.get("labels")  # older servers have none
    if not isinstance(labels, dict):
        return ""
    own = {key: value for key, value in labels.items() if not key.startswith(_SHOWN_ALREADY)}
    return ", ".join(f"{key}={value}" for key, value in own.items())


def _local(moment: Any) -> str:
    time = read_time(moment)
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _seconds(seconds: Any) -> str:
    is_known = isinstance(seconds, (int, float))
    return duration_text(seconds).removesuffix(" 0 s") if is_known else ""
