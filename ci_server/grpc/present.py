"""Jobs as messages of the Job Worker service: the only place that knows its words."""

from typing import Any

from ci_common.job import Job, JobStatus, Reason, format_time
from ci_common.worker_api import worker_pb2 as messages

_LARGEST = 2**31 - 1
_ENDED_BY_US = -1

_WORDS = {
    JobStatus.QUEUED: "INITIALIZING",
    JobStatus.INITIALIZING: "INITIALIZING",
    JobStatus.RUNNING: "RUNNING",
    JobStatus.FAILED: "FAILED",
    JobStatus.CANCELLED: "STOPPED",
}


def fields_of(job: Job) -> dict[str, Any]:
    """The fields of a `Job`, a `CreateJobRes` or a `GetJobRes`."""
    command, *args = job.spec.command
    limits = job.spec.limits
    return {
        "id": job.job_id,
        "command": command,
        "args": args,
        "maxCPU": _number(limits.cpu_percent),
        "maxMemory": _number(limits.memory_mb),
        "maxIOBPS": _number(limits.block_io_bytes),
        "status": status_of(job),
        "startTime": format_time(job.started_at or job.created_at) or "",
        "endTime": _end_time(job),
        "exitCode": exit_code_of(job),
    }


def stopped(job: Job) -> messages.StopJobRes:
    """The end of a job that was stopped."""
    return messages.StopJobRes(
        id=job.job_id, status=status_of(job), endTime=_end_time(job), exitCode=exit_code_of(job)
    )


def status_of(job: Job) -> str:
    """Where the job stands, in the words of this service."""
    if job.status is JobStatus.COMPLETED:
        return "COMPLETED" if job.outcome and job.outcome.success else "FAILED"
    return _WORDS[job.status]


def exit_code_of(job: Job) -> int:
    """The command's own; 0 before the end, and -1 when the command did not end by itself."""
    outcome = job.outcome
    if outcome is None:
        return 0
    if outcome.status is not JobStatus.COMPLETED or outcome.reason is Reason.OOM:
        return _ENDED_BY_US
    return _ENDED_BY_US if outcome.exit_code is None else outcome.exit_code


def _end_time(job: Job) -> str:
    return format_time(job.ended_at) or ""


def _number(value: int | None) -> int:
    """0 stands for no limit."""
    return min(value or 0, _LARGEST)
