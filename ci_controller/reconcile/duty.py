"""What the holder of the controller lease does beside moving jobs."""

from typing import Protocol


class LeaderDuty(Protocol):
    """A duty of the leader alone. It may be run again after it was cancelled."""

    async def run(self, epoch: int) -> None:
        """Until cancelled: the lease is lost, or the process ends."""
