"""When what the engine failed at is tried again, and when it is given up."""

import random
from collections.abc import Callable, Collection

LAUNCH_TRIES = 5
"""A launch at which the engine fails so often, though it otherwise answers, is given up."""

FILES_TRIES = 10
"""The same for the files a workload left: its result is known, and not to wait for them."""

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


class Patience:
    """The pauses of each job, or task by its name, that waits for the engine."""

    def __init__(self, clock: Callable[[], float], first_seconds: float) -> None:
        self._clock = clock
        self._first_seconds = first_seconds
        self._jobs: dict[tuple[str, bool], BackOff] = {}
        self._refusals: dict[tuple[str, bool], int] = {}

    def waits(self, job_id: str, launched: bool = False) -> bool:
        """Whether the job is to be left alone for now."""
        pauses = self._jobs.get((job_id, launched))
        return pauses is not None and pauses.waits

    def is_last_try(self, job_id: str, launched: bool) -> bool:
        """Whether the engine failed at it so often that it must not fail once more."""
        tries = FILES_TRIES if launched else LAUNCH_TRIES
        return self._refusals.get((job_id, launched), 0) >= tries - 1

    def failed(self, job_id: str, launched: bool = False, answered: bool = False) -> None:
        """The job waits; `answered` tells whether the engine answered at all."""
        key = (job_id, launched)
        pauses = self._jobs.setdefault(key, BackOff(self._clock, self._first_seconds))
        pauses.failed()
        self._refusals[key] = self._refusals.get(key, 0) + answered

    def forgive(self) -> None:
        """Count anew: the engine was away altogether, which explains what failed."""
        self._refusals.clear()

    def keep_only(self, live: Collection[str]) -> None:
        """Forget all jobs but these."""
        for counts in (self._jobs, self._refusals):
            for key in [key for key in counts if key[0] not in live]:
                del counts[key]
