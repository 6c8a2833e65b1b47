"""Wake-up calls inside one process (port JobSignals)."""

import asyncio
from collections import defaultdict

from typing_extensions import override

from ci_common.ports.signals import JobSignals, JobSubscription

_EVENTS = ""
"""Key of subscriptions to job events; no job has this id."""


class ProcessJobSignals(JobSignals):
    """Wakes the watchers of this process; those of others find out by looking."""

    def __init__(self) -> None:
        self._subscriptions: defaultdict[str, set[ProcessJobSubscription]] = defaultdict(set)

    @override
    def notify(self, job_id: str) -> None:
        for subscription in tuple(self._subscriptions.get(job_id, ())):
            subscription.poke()

    @override
    def subscribe(self, job_id: str) -> "ProcessJobSubscription":
        subscription = ProcessJobSubscription(self, job_id)
        self._subscriptions[job_id].add(subscription)
        return subscription

    @override
    def notify_events(self) -> None:
        self.notify(_EVENTS)

    @override
    def subscribe_events(self) -> "ProcessJobSubscription":
        return self.subscribe(_EVENTS)

    def forget(self, subscription: "ProcessJobSubscription", job_id: str) -> None:
        """Called by a subscription that closes."""
        remaining = self._subscriptions[job_id]
        remaining.discard(subscription)
        if not remaining:
            del self._subscriptions[job_id]


class ProcessJobSubscription(JobSubscription):
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

    @override
    async def wait(self, timeout_seconds: float) -> bool:
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

    @override
    def close(self) -> None:
        self._signals.forget(self, self._job_id)
