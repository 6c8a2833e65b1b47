"""Job events: a numbered record of what happens to jobs. (`events` is what a log stream sends.)"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from typing_extensions import override

from ci_common.job import Visibility

_MOST_DIGITS = 18
"""SQLite integers have 63 bits plus sign."""


class JobEventKind(StrEnum):
    """What happened. Each docstring lists the event's `facts`: names are stable; clients ignore
    names and kinds that they do not know.
    """

    SUBMITTED = "submitted"
    """The job was accepted and queued. `name` (in the project's table), `priority`."""
    CLAIMED = "claimed"
    """The controller claimed the job and prepares its workload (status `initializing`). `attempt`
    (from 1).
    """
    STARTED = "started"
    """The command was started. `attempt`."""
    PROGRESS = "progress"
    """The job reported progress. Replaces the job's previous event of this kind. `attempt`,
    `current`, `total`, `phase`, and if reported `message` (see Progress); `iteration`, `score` and
    `scores` as the attempt reported them last. Strings come from the job; its secrets are masked in
    them, nothing else is.
    """
    CANCEL_REQUESTED = "cancel_requested"
    """The first request to cancel the job. No facts."""
    RETRIED = "retried"
    """The workload was lost and the next attempt begins (status `initializing`). `attempt`: the
    new one.
    """
    FINISHED = "finished"
    """The job ended; only `deleted` can follow. `status`, `reason`, `message`, `exit_code` (or
    null), `attempt`, `log_size` and `artifacts_size` (bytes), and `tests`: null, or an object with
    the counts `total`, `passed`, `failed`, `errors`, `skipped` and with `seconds`.
    """
    DELETED = "deleted"
    """The job was deleted, and its other events with it. `last_seq`: the last of those."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One change of one job."""

    seq: int
    """Increases in commit order. Consecutive events need not have consecutive numbers."""
    job_id: str
    tenant: str
    user: str
    kind: JobEventKind
    at: datetime
    """Wall clock time. The clock may be adjusted, so order by `seq`."""
    facts: Mapping[str, Any]
    """JSON values by name, see JobEventKind."""
    visibility: Visibility
    """The job's: who else may see the event."""


@dataclass(frozen=True, slots=True)
class EventCursor:
    """A reader's position. Store `str(cursor)` to resume later with `EventCursor.parse`."""

    stream: str
    """Identifies the sequence of numbers. Restoring a backup starts a new stream."""
    seq: int
    """Number of the last event before the position."""
    reported: int = 0
    """Removals up to this number have been reported to the reader (see EventsGoneError)."""

    @override
    def __str__(self) -> str:
        return f"{self.stream}.{self.seq}" + (
            f".{self.reported}" if self.reported > self.seq else ""
        )

    @classmethod
    def parse(cls, text: str) -> "EventCursor":
        """Parse what `str` returned. Raises ValueError for any other string."""
        stream, *numbers = text.split(".")
        if not stream.isalnum() or not 1 <= len(numbers) <= 2 or not all(map(_is_seq, numbers)):
            raise ValueError("not an event cursor")
        return cls(stream, *map(int, numbers))


NO_CURSOR = EventCursor("", 0)
"""Of no stream: reading from it raises EventsGoneError with a cursor of the current one."""


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
