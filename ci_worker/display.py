"""What the commands print: lines for people, or the messages as JSON."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def as_json(message: Any) -> str:
    """A message in protobuf's own JSON, with every field."""
    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(fields, ensure_ascii=False)


def created(job: Any) -> Sequence[str]:
    """A job that was just made."""
    return (
        "Job created:",
        f"ID: {job.id}",
        f"Command: {command_of(job)}",
        f"Status: {job.status}",
        f"StartTime: {job.startTime}",
    )


def described(job: Any) -> Sequence[str]:
    """All that is known of a job."""
    return (
        f"Id: {job.id}",
        f"Command: {command_of(job)}",
        f"Status: {job.status}",
        f"Started At: {job.startTime}",
        f"Ended At: {job.endTime}",
        f"MaxCPU: {job.maxCPU}",
        f"MaxMemory: {job.maxMemory}",
        f"MaxIOBPS: {job.maxIOBPS}",
        *([f"ExitCode: {job.exitCode}"] if job.endTime else []),
    )


def listed(jobs: Iterable[Any]) -> Sequence[str]:
    """A line for each job."""
    lines = [
        f"{job.id} {job.status} StartTime: {job.startTime} Command: {command_of(job)}"
        for job in jobs
    ]
    return lines or ["No jobs found"]


def stopped(job: Any) -> Sequence[str]:
    """A job that was stopped."""
    return ("Job stopped successfully:", f"ID: {job.id}", f"Status: {job.status}")


def command_of(job: Any) -> str:
    """Command and arguments on one line, which can do nothing to a terminal."""
    text = " ".join((job.command, *job.args))
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def print_files(paths: Iterable[Path], *, as_json: bool, **facts: str) -> None:
    """Files that were written, and what else there is to say of them."""
    names = [str(path) for path in paths]
    if as_json:
        print(json.dumps({**facts, "files": names}, ensure_ascii=False))
    else:
        print("\n".join(names))
