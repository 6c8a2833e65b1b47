"""The outcome of a run: all that its files are written from."""

from dataclasses import dataclass

from haystack.advisor import best_record
from haystack.iteration import Subject
from haystack.record import Record


@dataclass(frozen=True)
class Outcome:
    """What was done, and which iteration is the result."""

    subject: Subject
    records: tuple[Record, ...]
    termination_reason: str
    """See `iteration.iterate`."""

    @property
    def best(self) -> Record:
        """The iteration with the highest score."""
        return best_record(self.records)

    @property
    def success(self) -> bool:
        """Whether the run came to its own end."""
        return self.termination_reason != "stopped"
