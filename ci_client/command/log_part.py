"""Which part of a log is shown, and how."""

from dataclasses import dataclass

from ci_client.client import Client
from ci_client.command.display import say
from ci_client.errors import UsageError
from ci_client.library.moments import utc_text


@dataclass(frozen=True, slots=True)
class LogPart:
    """What the user chose."""

    tail: int | None = None
    """Only so many lines from its end."""
    since: str | None = None
    """Only what was received since then."""
    timestamps: bool = False

    def start(self, client: Client, job_id: str) -> int:
        """The offset at which it begins. Raises UsageError for what has no sense, or times that
        nobody knows; and what requests raise.
        """
        if self.since is not None and self.tail is not None:
            raise UsageError("--since and --tail cannot be combined: omit one.")
        if self.tail is not None:
            return client.tail_start(job_id, self.tail)
        if self.since is None:
            return 0
        page = client.log_marks(job_id, since=utc_text("--since", self.since), limit=1)
        if page["marks"]:
            # A mark may be in the midst of a line.
            place = client.log_position(job_id, offset=int(page["marks"][0]["offset"]))
            return int(place["line_offset"])
        if page.get("size") and not page.get("timed"):
            raise UsageError(
                "--since: the server has no times for this log; it was written by an older version "
                "of the server. Use --tail N for its last lines."
            )
        say(f"No output has been received since {self.since}.")
        return int(page.get("size") or 0)
