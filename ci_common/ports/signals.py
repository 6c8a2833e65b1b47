"""What wakes those who wait: the doorbell of the controller, the news of a job."""

from typing import Protocol


class JobSignals(Protocol):
    """Wakes watchers. A hint: watchers look at the stores, now and then also unasked."""

    def notify(self, job_id: str) -> None:
        """Something about the job changed. Any thread; never blocks; cheap when unwatched."""

    def subscribe(self, job_id: str) -> "JobSubscription":
        """Be woken, on the running event loop, from now on."""

    def notify_events(self) -> None:
        """Job events were committed (port JobEvents). Same rules as `notify`."""

    def subscribe_events(self) -> "JobSubscription":
        """Be woken by `notify_events` on the running event loop from now on."""


class JobSubscription(Protocol):
    """One watcher's wake-up call. Wake-ups between two waits are merged, never lost."""

    async def wait(self, timeout_seconds: float) -> bool:
        """Return True when notified since the last wait, False after the time-out."""

    def close(self) -> None:
        """Stop being woken; safe to repeat."""


class Doorbell(Protocol):
    """Rings the controller of this database, in whichever process it lives."""

    def ring(self) -> None:
        """Ask for a tick now. A hint: never blocks, never fails."""


class DoorbellListener(Protocol):
    """The controller's ear."""

    def listen(self) -> None:
        """Become the one that is rung, on the running event loop; replaces a former one."""

    def keep_listening(self) -> None:
        """Do that unless this is the one that is rung already, and what it listens at is still
        there. Cheap; only for the one that holds the lease.
        """

    async def wait(self, timeout_seconds: float) -> None:
        """Return when rung since the last wait, or after the time-out."""

    def close(self) -> None:
        """Stop listening; safe to repeat."""


class ControllerBell(Doorbell, DoorbellListener, Protocol):
    """The controller rings itself too, when a slot becomes free."""
