"""Retries of what the container engine failed at: backoff, and when to give up."""

import random
from collections.abc import Callable, Collection

LAUNCH_TRIES = 5
"""Attempts to launch a job before giving up, if the engine responds otherwise."""

FILES_TRIES = 10
"""Attempts to get the files of a workload, whose result is known and must not wait for them."""

_LONGEST_SECONDS = 15.0


class BackOff:
    """Pauses that double from failure to failure, up to a bound; and, so that several do not
    ask in step, not of fixed length.
    """

    def __init__(self, clock: Callable[[], float], first_seconds: float) -> None:
        self._clock = clock
        self._first_seconds = first_seconds
        self._next = 0.0
        self.failures = 0
        """In a row."""

    @property
    def waits(self) -> bool:
        """Whether it is too early to try again."""
        return self._clock() < self._next

    def failed(self, began: float | None = None) -> None:
        """One more failure, of what was tried at `began` (or now)."""
        self.failures += 1
        pause = self._first_seconds * 2 ** min(self.failures, 10)
        jitter = random.uniform(0.5, 1)  # noqa: S311 - not a secret
        began = self._clock() if began is None else began
        self._next = began + min(pause, _LONGEST_SECONDS) * jitter

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures, self._next = 0, 0.0


class RetryPolicy:
    """The pauses of all that waits for the engine, each by a name such as `start 6b1f…`."""

    def __init__(self, clock: Callable[[], float], first_seconds: float) -> None:
        self._clock = clock
        self._first_seconds = first_seconds
        self._pauses: dict[str, BackOff] = {}
        self._refusals: dict[str, int] = {}

    def resting(self) -> set[str]:
        """What must not be retried yet."""
        return {name for name, pauses in self._pauses.items() if pauses.waits}

    def is_last_try(self, name: str, tries: int) -> bool:
        """Whether this is the last attempt."""
        return self._refusals.get(name, 0) >= tries - 1

    def failed(self, name: str, answered: bool = False) -> None:
        """It waits; `answered` tells whether the engine answered at all."""
        pauses = self._pauses.setdefault(name, BackOff(self._clock, self._first_seconds))
        pauses.failed()
        self._refusals[name] = self._refusals.get(name, 0) + answered

    def reset(self) -> None:
        """Count anew: the engine was away altogether, which explains what failed."""
        self._refusals.clear()

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all but these."""
        for counts in (self._pauses, self._refusals):
            for name in counts.keys() - names:
                del counts[name]
