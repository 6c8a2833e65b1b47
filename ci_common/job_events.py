"""What happened to jobs, as numbered facts that anybody may follow; not the events of a log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

_MOST_DIGITS = 18
"""SQLite's numbers have 63 bits."""


class JobEventKind(StrEnum):
    """What happened, and in `facts`: names are stable, more names and kinds may come."""

    SUBMITTED = "submitted"
    """A job is queued. `name` (of the job in its table), `priority`, `package_size` (bytes)."""
    CLAIMED = "claimed"
    """The controller makes its workload (`initializing`). `attempt` (from 1)."""
    STARTED = "started"
    """Its command runs. `attempt`."""
    PROGRESS = "progress"
    """It reported how far it is; this event replaces the one of this kind before it. `attempt`,
    `current`, `total`, `phase`, and where it said so `iteration`, `score`, `scores` and `message`
    (see Progress). Strings are the job's: they may hold anything but its secrets."""
    CANCEL_REQUESTED = "cancel_requested"
    """Somebody asked for its end, the first time. Nothing in `facts`."""
    RETRIED = "retried"
    """Its workload was lost, and the next attempt begins (`initializing`). `attempt`: the new
    one."""
    FINISHED = "finished"
    """It ended, and nothing but `deleted` follows. `status`, `reason`, `message`, `exit_code` (or
    null), `attempt`, `log_size` and `artifacts_size` (bytes), and `tests`: null, or an object with
    `total`, `passed`, `failed`, `errors`, `skipped` (counts) and `seconds`."""
    DELETED = "deleted"
    """It is not stored any more, nor are its other events. `last_seq`: the last of those."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened to a job."""

    seq: int
    """Grows in the order in which changes were committed; may have gaps."""
    job_id: str
    tenant: str
    user: str
    kind: JobEventKind
    at: datetime
    """By the wall clock, which may be set: `seq` is the order."""
    facts: Mapping[str, Any]
    """JSON values; JobEventKind tells which."""


@dataclass(frozen=True, slots=True)
class EventCursor:
    """A place between two events: what a reader keeps, as text, to go on from there."""

    stream: str
    """The history that the number belongs to. A restored backup begins another one."""
    seq: int
    """Of the last event before it."""
    told: int = 0
    """Deletions up to this event are known to the reader (see EventsGoneError)."""

    def __str__(self) -> str:
        return f"{self.stream}.{self.seq}" + (f".{self.told}" if self.told > self.seq else "")

    @classmethod
    def parse(cls, text: str) -> "EventCursor":
        """Read what `str` wrote. Raises ValueError for anything else."""
        stream, *numbers = text.split(".")
        if not stream.isalnum() or not 1 <= len(numbers) <= 2 or not all(map(_is_seq, numbers)):
            raise ValueError("this is not a cursor of events")
        return cls(stream, *map(int, numbers))


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
