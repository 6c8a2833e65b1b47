"""Wake-up calls inside one process (port JobSignals)."""

import asyncio
from collections import defaultdict

_EVENTS = ""
"""Key of subscriptions to job events; no job has this id."""


class ProcessJobSignals:
    """Wakes the watchers of this process; those of others find out by looking."""

    def __init__(self) -> None:
        self._subscriptions: defaultdict[str, set[ProcessJobSubscription]] = defaultdict(set)

    def notify(self, job_id: str) -> None:
        """See JobSignals."""
        for subscription in tuple(self._subscriptions.get(job_id, ())):
            subscription.poke()

    def subscribe(self, job_id: str) -> "ProcessJobSubscription":
        """See JobSignals."""
        subscription = ProcessJobSubscription(self, job_id)
        self._subscriptions[job_id].add(subscription)
        return subscription

    def notify_events(self) -> None:
        """See JobSignals."""
        self.notify(_EVENTS)

    def subscribe_events(self) -> "ProcessJobSubscription":
        """See JobSignals."""
        return self.subscribe(_EVENTS)

    def forget(self, subscription: "ProcessJobSubscription", job_id: str) -> None:
        """Called by a subscription that closes."""
        remaining = self._subscriptions[job_id]
        remaining.discard(subscription)
        if not remaining:
            del self._subscriptions[job_id]


class ProcessJobSubscription:
    """One watcher's wake-up call (port JobSubscription)."""

    def __init__(self, signals: ProcessJobSignals, job_id: str) -> None:
        self._signals = signals
        self._job_id = job_id
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._poked = False

    def poke(self) -> None:
        """Wake the watcher; any thread. A second poke before it woke costs nothing."""
        if self._poked:
            return
        self._poked = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            return  # the loop has closed, and its watchers with it

    async def wait(self, timeout_seconds: float) -> bool:
        """See JobSubscription."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        # In this order: a poke that comes in between is dropped, but what it was about was
        # stored before, and the watcher looks at the stores after this returns.
        self._event.clear()
        self._poked = False
        return True

    def close(self) -> None:
        """See JobSubscription."""
        self._signals.forget(self, self._job_id)
