"""What people read of a model's job, and of its package."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ci_client.command.display import duration_text
from ci_client.command.model_results import statistics_table
from ci_client.command.report_display import printable, size_text
from ci_client.library.model_job import ModelJob


def model_details(job: ModelJob) -> str:
    """A job, one fact per line, and its statistics or why it failed."""
    took = None if job.execution_time_ms is None else duration_text(job.execution_time_ms / 1000)
    facts = (
        ("Job", job.job_id),
        ("Model", job.model_name),
        ("Status", job.status),
        ("Priority", job.priority),
        ("Submitted", _moment(job.created_at)),
        ("Started", _moment(job.started_at)),
        ("Ended", _moment(job.completed_at)),
        ("Duration", took),
    )
    lines = [
        f"{name + ':':<11} {printable('-' if fact is None else str(fact))}" for name, fact in facts
    ]
    if job.error_message:
        lines.append("Error:")
        lines += [f"  {printable(line)}" for line in job.error_message.rstrip().splitlines()]
    if job.result is not None:
        lines += ["", statistics_table(job.result.document())]
    return "\n".join(lines)


def package_summary(package: Mapping[str, Any]) -> str:
    """A package that was written: where it is, and what is in it."""
    count = package["files"]
    files = "1 file" if count == 1 else f"{count:,} files"
    return (
        f"{printable(package['path'])}: {files}, {size_text(package['size'])}\n"
        f"packageHash {package['packageHash']}"
    )


def _moment(moment: datetime | None) -> str | None:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if moment else None
