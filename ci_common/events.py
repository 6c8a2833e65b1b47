"""What a watcher is told, in the order it happened: job_id?, status*, log*, complete.

On the wire an event is one JSON object (`to_dict`). Clients ignore types they do not know.
"""

import base64
from dataclasses import asdict, dataclass
from typing import Any

from ci_common.job import Job, JobStatus


@dataclass(frozen=True, slots=True)
class JobIdEvent:
    """The submission was accepted and is durable."""

    job_id: str

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"type": "job_id", "job_id": self.job_id}


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """The job moved, and is not finished."""

    status: JobStatus
    position: int | None = None
    """The place of a queued job among those of its tenant, from 1, in the order of their start."""

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        told: dict[str, Any] = {"type": "status", "status": self.status.value}
        return told if self.position is None else {**told, "position": self.position}


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A run of the log's bytes, which may hold many lines, or a part of one."""

    content: bytes
    end_offset: int
    """The offset in the log after the last byte of `content`: the event's id."""

    def to_dict(self) -> dict[str, Any]:
        """The wire form: text, and where the bytes are not UTF-8 also `raw`, the exact bytes."""
        try:
            return {"type": "log", "data": self.content.decode()}
        except UnicodeDecodeError:
            return {
                "type": "log",
                "data": self.content.decode(errors="replace"),
                "raw": base64.b64encode(self.content).decode("ascii"),
            }


@dataclass(frozen=True, slots=True)
class CompleteEvent:
    """The job finished. No event follows, and nothing else tells the result."""

    job: Job

    def to_dict(self) -> dict[str, Any]:
        """The wire form. Only finished jobs have one."""
        outcome = self.job.outcome
        if outcome is None:
            raise ValueError(f"job {self.job.job_id} is not finished")
        return {
            "type": "complete",
            "job_id": self.job.job_id,
            "success": outcome.success,
            "status": self.job.status.value,
            "exit_code": outcome.exit_code,
            "reason": outcome.reason.value,
            "message": outcome.message,
            "log_dropped": count_or_unknown(self.job.log_dropped),
            "tests": asdict(self.job.tests) if self.job.tests else None,
        }


Event = JobIdEvent | StatusEvent | LogEvent | CompleteEvent


def count_or_unknown(count: int | None) -> int | str:
    """The wire form of a number that may not be known."""
    return "unknown" if count is None else count


def log_bytes(event: dict[str, Any]) -> bytes:
    """The exact bytes of a `log` event's wire form."""
    if "raw" in event:
        return base64.b64decode(event["raw"])
    return str(event["data"]).encode()
